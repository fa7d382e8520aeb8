#!/bin/sh
# Sets up what a build and its tests need: Debian packages, and a Python environment in build/venv.
# Asks for each tool, not for its package, so that any system that has them all passes. Quick when
# nothing is missing. PYTHON names another Python 3 than the first one found.
#
# usage: setup.sh [bench | python | freethreaded]
# With bench: the peers that khonsu-bench measures khonsu beside, and valgrind. Nothing else needs
# them, and the benchmarks leave out what is not there.
# With python: what the Python package is built and tested with, in build/python-venv.
# With freethreaded: what CPython is built with (tools/python_freethreaded.py).
set -eu

cd "$(dirname "$0")/.."

# kind : what to look for : the Debian package that has it
needs="
program:cmake:cmake
program:ninja:ninja-build
program:gcc:gcc
program:g++:g++
program:pkg-config:pkg-config
program:ccache:ccache
program:clang-14:clang-14
program:setarch:util-linux
header:stdio.h:libc6-dev
header:ck_epoch.h:libck-dev
header:cmocka.h:libcmocka-dev
header:xxhash.h:libxxhash-dev
header:openssl/evp.h:libssl-dev
header:rocksdb/c.h:librocksdb-dev
fuzzer:clang-14:libclang-rt-14-dev
venv:python3:python3-venv
"
bench_needs="
program:valgrind:valgrind
program:strace:strace
header:valgrind/callgrind.h:valgrind
header:lmdb.h:liblmdb-dev
header:sqlite3.h:libsqlite3-dev
header:wiredtiger.h:libwiredtiger-dev
"
python_needs="
program:cmake:cmake
program:ninja:ninja-build
venv:python3:python3-venv
python-header:Python.h:python3-dev
"
freethreaded_needs="
program:make:make
program:gcc:gcc
program:setarch:util-linux
header:openssl/ssl.h:libssl-dev
header:zlib.h:zlib1g-dev
header:ffi.h:libffi-dev
header:bzlib.h:libbz2-dev
"
case "${1:-}" in
    "") ;;
    bench) needs=$bench_needs ;;
    python) needs=$python_needs ;;
    freethreaded) needs=$freethreaded_needs ;;
    *) echo "usage: setup.sh [bench | python | freethreaded]" >&2; exit 2 ;;
esac

python() {
    if [ -n "${PYTHON:-}" ]; then
        echo "$PYTHON"
    elif [ -x /usr/bin/python3 ]; then
        echo /usr/bin/python3
    else
        command -v python3 || echo python3
    fi
}

has() {
    case "$1" in
        program) command -v "$2" ;;
        header) printf '#include <stddef.h>\n#include <stdarg.h>\n#include <stdint.h>\n' |
            cat - "$3" | "${CC:-cc}" -x c -fsyntax-only - ;;
        fuzzer) ls "$("$2" -print-resource-dir)"/lib/linux/libclang_rt.fuzzer-*.a ;;
        venv) "$(python)" -c 'import ensurepip, venv' ;;
        python-header)
            test -e "$("$(python)" -c 'import sysconfig; print(sysconfig.get_path("include"))')/$2"
            ;;
    esac >/dev/null 2>&1
}

missing_packages() {
    probe=$(mktemp)
    for need in $needs; do
        kind=${need%%:*}
        rest=${need#*:}
        what=${rest%%:*}
        printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "$what" >"$probe"
        has "$kind" "$what" "$probe" || printf ' %s' "${rest#*:}"
    done
    rm -f "$probe"
}

give_up() {
    echo "setup: $1. Please install these Debian packages (or what they hold), then try again:" >&2
    echo "  $2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

install_packages() {
    command -v apt-get >/dev/null || give_up "there is no apt-get here" "$1"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || give_up "not root, and no sudo" "$1"
    echo "setup: installing$1"
    # Old package lists name files that are gone, and a new machine has no lists at all.
    as_root apt-get update -q >/dev/null || echo "setup: apt-get update failed; going on" >&2
    # shellcheck disable=SC2086 # a list of words is meant
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $1 >/dev/null ||
        give_up "apt-get install failed" "$1"
}

# DIRECTORY REQUIREMENTS
make_venv() {
    wanted=$(cksum <"$2")
    if [ "$(cat "$1/stamp" 2>/dev/null)" = "$wanted" ] && "$1/bin/python" -c ''; then
        return
    fi
    echo "setup: making the Python environment in $1"
    rm -rf "$1"
    mkdir -p build
    "$(python)" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --no-deps --only-binary :all: --require-hashes -r "$2"
    echo "$wanted" >"$1/stamp"
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
    install_packages "$missing"
    missing=$(missing_packages)
    [ -z "$missing" ] || give_up "these are still not found" "$missing"
fi
case "${1:-}" in
    python) make_venv build/python-venv python/requirements.txt ;;
    freethreaded) ;; # python_freethreaded.py makes its own
    *) make_venv build/venv tools/requirements.txt ;;
esac
