#!/bin/sh
# The C for other machines than this one: compiled for arm64 and with musl, warnings being errors; its tests run, and the
# launcher launches something. An emulator of user programs knows no perf events: of those only the parsers are tested.
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
        echo "cross: $program is missing, and can't be installed here (Debian: apt-get install $*)" >&2
        exit 1
    }
}

check() { # NAME EMULATOR COMPILER OPTION...
    name=$1 emulator=$2
    shift 2
    options="-std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -static -Inative"
    library="native/procfs/*.c native/tracker/*.c native/perf/*.c"
    # shellcheck disable=SC2086  # they are words
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
# It has no headers of the kernel; this machine's are those of every C library.
headers=$(gcc -print-multiarch)
check musl "" musl-gcc -idirafter /usr/include -idirafter "/usr/include/$headers"
