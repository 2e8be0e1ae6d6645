#!/bin/sh
# Runs the test suite with the C core and the launcher built with AddressSanitizer and UBSan, in a separate virtual
# environment. Fails on any report of any process. ARGS are passed to pytest.
set -eu
python=$1
shift
cd "$(dirname "$0")/.."
directory=$(pwd)/build/sanitize
rm -rf "$directory"
mkdir -p "$directory/reports"
"$python" -m venv "$directory/venv"
bin=$directory/venv/bin
"$bin/python" -m pip --quiet --disable-pip-version-check install --upgrade pip
"$bin/python" -m pip --quiet --disable-pip-version-check install --group test
"$bin/python" -m pip --quiet --disable-pip-version-check install --no-deps . -Csetup-args=-Dbuildtype=debugoptimized \
    -Csetup-args=-Db_sanitize=address,undefined -Csetup-args=-Db_lundef=false \
    -Csetup-args=-Dc_args='-fno-sanitize-recover=all -fno-omit-frame-pointer'
flags=$("$bin/python" -c '
from sysconfig import get_config_var as of
print("-I" + of("INCLUDEPY"), "-L" + of("LIBDIR"), "-L" + of("LIBPL"), "-Wl,-rpath," + of("LIBDIR"),
      "-lpython" + of("LDVERSION"), of("LIBS"), of("SYSLIBS"), of("LINKFORSHARED"))')
# shellcheck disable=SC2086  # split into words
gcc -g -O1 -fsanitize=address,undefined -DREPORTS="\"$directory/reports/of\"" tools/sanitized_python.c $flags \
    -o "$directory/python" || { echo "sanitize: libpython is missing: apt-get install libpython3-dev (Debian)" >&2; exit 1; }
for name in python python3 "python$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"; do
    rm -f "$bin/$name"
    cp "$directory/python" "$bin/$name"
done
"$bin/python" -c 'import prock, prock.engine; assert prock.engine.active.name == "native"; prock.get_all_stats()'
worker=$("$python" -c 'import sys; print(sys._base_executable)')
excluded=$(sed -n 's/^\(tests[^ ]*\) .*/--deselect=\1/p' tools/sanitize-excluded.txt)
status=0
# shellcheck disable=SC2086
PROCK_TEST_WORKER=$worker "$bin/python" -m pytest -q -p no:cacheprovider $excluded "$@" || status=$?
for report in "$directory"/reports/*; do
    test -f "$report" || continue
    status=1
    head -n 60 "$report" >&2
done
echo "sanitize: $(echo "$excluded" | grep -c .) tests excluded (tools/sanitize-excluded.txt), reports: $(ls "$directory/reports" | wc -l)"
exit "$status"
