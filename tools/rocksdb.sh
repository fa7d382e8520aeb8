#!/bin/sh
# Builds a RocksDB without debugging hooks into a prefix, for -DKHONSU_ROCKSDB=PREFIX.
#
# usage: rocksdb.sh [PREFIX]      (default build/rocksdb)
#
# The sources are those of the Rust package librocksdb-sys, pinned by version and by the checksum
# in tools/rocksdb.lock, which cargo compares. Needs cargo, cmake, ninja, g++ and liblz4-dev. Some
# twenty minutes of one processor.
set -eu

cd "$(dirname "$0")/.."
prefix=$(realpath -m "${1:-build/rocksdb}")
where=build/rocksdb-release
mkdir -p "$where/src"

cat >"$where/Cargo.toml" <<'TOML'
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"

[dependencies]
librocksdb-sys = { version = "=0.10.0", default-features = false }
TOML
: >"$where/src/lib.rs"
cp tools/rocksdb.lock "$where/Cargo.lock"
cargo vendor --quiet --locked --manifest-path "$where/Cargo.toml" "$where/vendor" >/dev/null

cmake -S cmake/rocksdb_release -B "$where/build" -G Ninja \
    -DSOURCES="$(realpath "$where/vendor/librocksdb-sys")" -DCMAKE_INSTALL_PREFIX="$prefix"
cmake --build "$where/build" --parallel "${JOBS:-2}"
cmake --install "$where/build" >/dev/null
echo "$prefix"
