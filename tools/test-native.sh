#!/bin/sh
# Compiles and runs the C tests, which need no Python, and replays the fuzz targets over their corpus, without clang.
set -eu
cd "$(dirname "$0")/.."
compiler=$(command -v "${CC:-gcc}" || command -v cc) || { echo "C tests: skipped, no compiler"; exit 0; }
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
flags="-std=c11 -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover -Inative"
mkdir "$directory/objects"
for source in native/procfs/*.c native/tracker/*.c native/perf/*.c native/launcher/arguments.c; do
    # shellcheck disable=SC2086  # split into words
    "$compiler" $flags -c "$source" -o "$directory/objects/$(basename "$source" .c).o"
done
# shellcheck disable=SC2086
"$compiler" $flags "$directory"/objects/*.o native/tests/*.c -o "$directory/tests"
"$directory/tests"
# shellcheck disable=SC2086
"$compiler" $flags -DREPLAY "$directory"/objects/*.o native/fuzz/*.c -o "$directory/replay"
ASAN_OPTIONS=abort_on_error=1 UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1 "$directory/replay" native/fuzz
