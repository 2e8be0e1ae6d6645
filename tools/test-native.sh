#!/bin/sh
# Compile and run the C tests of the native parsers and lists, which need no Python.
set -eu
cd "$(dirname "$0")/.."
compiler=$(command -v "${CC:-gcc}" || command -v cc) || { echo "C tests: no compiler, nothing to test"; exit 0; }
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"$compiler" -std=c11 -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover \
    -Inative native/*.c native/tests/*.c -o "$directory/tests"
"$directory/tests"
