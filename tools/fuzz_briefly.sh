#!/bin/sh
# usage: fuzz_briefly.sh PROGRAM SEEDS SCRATCH SECONDS
# Replays the seed corpus, then mutates it for SECONDS in SCRATCH. An input that fails stays there.
set -eu
program=$1 seeds=$2 scratch=$3 seconds=$4

mkdir -p "$scratch/corpus" "$scratch/failures"
[ -d "$seeds" ] || mkdir -p "$scratch/none"
[ -d "$seeds" ] || seeds=$scratch/none
# shellcheck disable=SC2012 # names in a corpus are hashes
if [ "$(ls "$seeds" | wc -l)" -gt 0 ]; then
    "$program" -runs=0 -print_final_stats=0 "$seeds"
fi
exec "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$scratch/failures/" "$scratch/corpus" "$seeds"
