#!/bin/sh
# Static analysis of the C code by gcc's analyzer and clang-tidy. .clang-tidy lists the disabled checks with reasons;
# nothing is suppressed in the sources.
set -eu
cd "$(dirname "$0")/.."
python=$1
sh tools/need-clang.sh clang-tidy
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("INCLUDEPY"))')
compiler=gcc # clang has no -fanalyzer
flags="-std=c11 -Inative -isystem $headers -DPy_LIMITED_API=0x030b0000"
sources="native/procfs/*.c native/tracker/*.c native/perf/*.c native/launcher/*.c binding/*.c"
for source in $sources; do
    # shellcheck disable=SC2086  # split into words
    "$compiler" $flags -Wall -Wextra -Werror -O2 -fanalyzer -c "$source" -o /dev/null
done
echo "gcc -fanalyzer: $(ls $sources | wc -l) files, nothing found"
# shellcheck disable=SC2086
clang-tidy --quiet $sources -- $flags 2>/dev/null
echo "clang-tidy: nothing found"
