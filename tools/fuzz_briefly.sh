#!/bin/sh
# usage: fuzz_briefly.sh PROGRAM SOURCES NAME SCRATCH SECONDS
# Replays the seeds in SOURCES/corpus/NAME, then mutates them for SECONDS in SCRATCH, with the
# options that SOURCES/options.txt has for NAME. An input that fails stays there.
set -eu
program=$1 sources=$2 name=$3 scratch=$4 seconds=$5
seeds=$sources/corpus/$name
options=$(sed -n "s/^$name //p" "$sources/options.txt")

mkdir -p "$scratch/corpus" "$scratch/failures"
[ -d "$seeds" ] || { echo "fuzz_briefly: $seeds: no corpus" >&2; exit 1; }
[ -n "$options" ] || { echo "fuzz_briefly: $name is not in options.txt" >&2; exit 1; }
# shellcheck disable=SC2012 # names in a corpus are hashes
if [ "$(ls "$seeds" | wc -l)" -gt 0 ]; then
    "$program" -runs=0 -print_final_stats=0 "$seeds"
fi
# shellcheck disable=SC2086 # options are words
exec "$program" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=2048 $options \
    -print_final_stats=1 -artifact_prefix="$scratch/failures/" "$scratch/corpus" "$seeds"
