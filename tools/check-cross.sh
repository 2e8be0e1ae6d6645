#!/bin/sh
# The C code for other platforms: compiles it for arm64 and with musl, with warnings as errors, runs the C tests, and
# launches a command. qemu's user mode has no perf events: only their parsers are tested.
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")/.."
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

need() { # COMMAND PACKAGE...
    command -v "$1" >/dev/null && return
    program=$1
    shift
    if test "$(id -u)" = 0 && command -v apt-get >/dev/null; then
        echo "installing $* ..." >&2
        { apt-get update && apt-get install -y --no-install-recommends "$@"; } >/dev/null 2>&1 || :
    fi
    command -v "$program" >/dev/null || {
        echo "cross: $program is missing: apt-get install $* (Debian)" >&2
        exit 1
    }
}

check() { # NAME EMULATOR COMPILER OPTION...
    name=$1 emulator=$2
    shift 2
    options="-std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -static -Inative"
    library="native/procfs/*.c native/tracker/*.c native/perf/*.c"
    # shellcheck disable=SC2086  # split into words
    "$@" $options $library native/launcher/*.c -o "$directory/launcher-$name"
    # shellcheck disable=SC2086
    "$@" $options -Wno-conversion $library native/launcher/arguments.c native/tests/*.c -o "$directory/tests-$name"
    # shellcheck disable=SC2086
    echo "cross: $name: $($emulator "$directory/tests-$name")"
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$emulator" "$directory/launcher-$name" >"$directory/run-$name"
    chmod +x "$directory/run-$name"
    "$python" tools/try_launcher.py "$directory/run-$name"
    echo "cross: $name: the launcher launches"
}

need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
need qemu-aarch64-static qemu-user-static
need musl-gcc musl-tools
check arm64 qemu-aarch64-static aarch64-linux-gnu-gcc
# musl-gcc lacks the kernel's headers; those of this machine suit every C library.
headers=$(gcc -print-multiarch)
check musl "" musl-gcc -idirafter /usr/include -idirafter "/usr/include/$headers"
