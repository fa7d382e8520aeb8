#!/bin/sh
# usage: install.sh BUILD CC CXX
# Installs a build under a new prefix, moves the prefix, then builds and runs the same small program
# outside: in C and C++, against both libraries, by pkg-config, by CMake and by hand.
set -eu
build=$1 cc=$2 cxx=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

expect() {
    output=$("$@") || { echo "failed: $*"; exit 1; }
    [ "$output" = "Ada" ] || { echo "$* printed: $output"; exit 1; }
    echo "ok: ${1#"$work"/}"
}

cmake --install "$build" --prefix "$work/first" >/dev/null
# What was installed must not remember where.
mv "$work/first" "$work/prefix"
prefix=$work/prefix
lib=$(dirname "$(find "$prefix" -name libkhonsu.a)")
export PKG_CONFIG_PATH="$lib/pkgconfig"

flags=$(pkg-config --cflags --libs khonsu)
# shellcheck disable=SC2086 # lists of flags are meant
{
    $cc -std=c11 -Wall -Wextra -Werror "$here/program.c" -o "$work/pc_c" $flags "-Wl,-rpath,$lib"
    $cxx -std=c++11 -Wall -Wextra -Werror "$here/program.cpp" -o "$work/pc_cpp" $flags \
        "-Wl,-rpath,$lib"
}
expect "$work/pc_c"
expect "$work/pc_cpp"

$cc -I"$prefix/include" "$here/program.c" -o "$work/hand_c" "$lib/libkhonsu.a" -lrocksdb -lcrypto \
    -pthread -lm
$cxx -std=c++11 -I"$prefix/include" "$here/program.cpp" -o "$work/hand_cpp" "$lib/libkhonsu.a" \
    -lrocksdb -lcrypto -pthread -lm
expect "$work/hand_c"
expect "$work/hand_cpp"

cmake -S "$here" -B "$work/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" >/dev/null
cmake --build "$work/cmake" >/dev/null
for library in khonsu khonsu_static; do
    for language in c cpp; do
        expect "$work/cmake/${library}_$language"
    done
done

"$prefix/bin/khonsu" --version
"$prefix/bin/khonsu-workload" --version
