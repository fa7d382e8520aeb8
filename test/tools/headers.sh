#!/bin/sh
# usage: headers.sh CC CXX INCLUDE
# Each public header stands alone, in C11 and in C++11, without a warning; so do the initialisers
# of its structs (KH_X_INIT initialises a kh_x).
set -eu
cc=$1 cxx=$2 include=$3
count=0

program() {
    # Twice, for the guard.
    printf '#include <%s>\n#include <%s>\nint main(void) {\n' "$1" "$1"
    sed -n 's/^#define \(KH_[A-Z_]*\)_INIT .*/\1/p' "$include/$1" | while read -r name; do
        type=$(echo "$name" | tr '[:upper:]' '[:lower:]')
        printf '%s %s_value = %s_INIT;\n(void)%s_value;\n' "$type" "$type" "$name" "$type"
    done
    printf 'return 0;\n}\n'
}

for header in $(cd "$include" && find . -name '*.h' | sed 's:^\./::' | sort); do
    for language in c c++; do
        compiler="$cxx -std=c++11"
        [ $language = c++ ] || compiler="$cc -std=c11 -Wstrict-prototypes"
        program "$header" | $compiler -x $language -I"$include" -Wall -Wextra -Wpedantic \
            -Wshadow -Werror -fsyntax-only - || {
            echo "$header does not stand alone in $language"
            exit 1
        }
    done
    count=$((count + 1))
done
echo "$count headers"
[ $count -gt 0 ]
