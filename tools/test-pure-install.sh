#!/bin/sh
# Installs prock without the C core into a temporary directory and tests it there.
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")/.."
source=$(pwd)
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"$python" -m pip --quiet --disable-pip-version-check install --no-deps --target "$directory" . \
    -Csetup-args=-Dnative=disabled
cd "$directory"
PYTHONPATH=$directory "$python" "$source/tools/smoke.py" pure "$directory"
echo "pure install: works with the pure engine"
