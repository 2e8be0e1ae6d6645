#!/bin/sh
# Installs clang with its sanitizers, or clang-tidy, by apt-get if missing; otherwise prints what to install.
set -eu

works() {
    case $1 in
    clang) # its run-time libraries are a package of their own
        command -v clang >/dev/null && echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
            clang -x c -fsanitize=fuzzer,address,undefined -o /dev/null - 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

for program; do
    if works "$program"; then continue; fi
    if test "$(id -u)" = 0 && command -v apt-get >/dev/null; then
        echo "installing $program ..." >&2
        { apt-get update && apt-get install -y --no-install-recommends "$program" libclang-rt-dev; } >/dev/null 2>&1 || :
    fi
    works "$program" || {
        echo "$program is missing, and can't be installed here (Debian: apt-get install $program libclang-rt-dev)" >&2
        exit 1
    }
done
