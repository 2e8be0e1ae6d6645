#!/bin/sh
# Threads that call all functions of the C core at once, under ThreadSanitizer.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/threads
gcc -std=c11 -g -O1 -Wall -Wextra -Werror -fsanitize=thread -pthread -Inative \
    native/procfs/*.c native/tracker/*.c native/perf/*.c native/threads/test_threads.c -o build/threads/test_threads
# Without address space randomization, which on some kernels exceeds the range that the sanitizer supports.
setarch "$(uname -m)" -R true 2>/dev/null && without="setarch $(uname -m) -R" || without=
# shellcheck disable=SC2086  # split into words
TSAN_OPTIONS=halt_on_error=1 $without build/threads/test_threads "${1:-100}"
