#!/bin/sh
# Install prock as where there is no compiler, elsewhere, and see that it works there and says what it is.
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")/.."
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"$python" -m pip --quiet --disable-pip-version-check install --no-deps --target "$directory" . \
    -Csetup-args=-Dnative=disabled
cd "$directory"
engine=$(PYTHONPATH=$directory "$python" -c '
import prock
assert prock.__path__[0].startswith("'"$directory"'"), prock.__path__
assert prock.snapshot_tree(io=True).process_count >= 1
assert prock.run(["true"]).cpu_ns > 0
print(prock.engine.active.name)')
test "$engine" = pure || { echo "pure install: the engine is $engine"; exit 1; }
PYTHONPATH=$directory "$python" -m prock doctor | grep -q "pure: the same answers in plain Python" ||
    { echo "pure install: prock doctor does not say so"; exit 1; }
echo "pure install: works, and says that it is the pure engine"
