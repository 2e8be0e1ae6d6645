#!/bin/sh
# Fuzzes the C parsers: each target of native/fuzz for SECONDS, two at a time. Inputs that fail are moved to
# native/fuzz/regressions/, which every test run replays. FUZZ selects targets.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
build=build/fuzz
sh tools/need-clang.sh clang
mkdir -p "$build/objects"
flags="-std=c11 -g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all -Inative"
for source in native/procfs/*.c native/tracker/*.c native/perf/*.c native/launcher/arguments.c; do
    # shellcheck disable=SC2086  # split into words
    clang $flags -fsanitize=fuzzer-no-link -c "$source" -o "$build/objects/$(basename "$source" .c).o"
done
targets=${FUZZ:-$(cd native/fuzz && ls *.c | sed 's/\.c$//' | grep -vx replay)}
for target in $targets; do
    mkdir -p "$build/corpus/$target" "$build/found/$target"
    # shellcheck disable=SC2086
    clang $flags -fsanitize=fuzzer "native/fuzz/$target.c" "$build"/objects/*.o -o "$build/$target"
done
one='
target=$1 seconds=$2 build=$3
directories="native/fuzz/corpus/$target"
test ! -d "native/fuzz/regressions/$target" || directories="$directories native/fuzz/regressions/$target"
"$build/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="$build/found/$target/" "$build/corpus/$target" $directories >"$build/$target.log" 2>&1 || failed=1
runs=$(sed -n "s/^stat::number_of_executed_units: *//p" "$build/$target.log")
if test -z "${failed:-}"; then
    echo "fuzz: $target: ${runs:-?} inputs in $seconds s, no failure"
    exit 0
fi
mkdir -p "native/fuzz/regressions/$target"
for file in "$build/found/$target"/*; do
    test -f "$file" || continue
    mv "$file" "native/fuzz/regressions/$target/"
    echo "fuzz: $target fails at native/fuzz/regressions/$target/$(basename "$file"); to repeat: $build/$target" \
        "native/fuzz/regressions/$target/$(basename "$file")" >&2
done
tail -n 40 "$build/$target.log" >&2
exit 1
'
# shellcheck disable=SC2086
printf '%s\n' $targets | xargs -P 2 -I TARGET sh -c "$one" fuzz TARGET "$seconds" "$build"
