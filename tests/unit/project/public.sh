#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# public.sh CC NM READELF INCLUDE LIBRARY SONAME SCRATCH
# The SDK's face: each header compiles alone, twice, as C and as C++; each function that it declares has a comment right
# above it; the shared library shows these functions, no others, and has its soname.
set -u -o pipefail
export LC_ALL=C
cc=$1 nm=$2 readelf=$3 include=$4 library=$5 soname=$6 scratch=$7
mkdir -p "$scratch"
bad=0

complain() {
    echo "$*"
    bad=1
}

# A C++ compiler is no part of what the build needs.
cxx=""
for name in "${CXX:-c++}" g++ clang++; do
    if [[ -z $cxx ]] && command -v "$name" >/dev/null; then
        cxx=$name
    fi
done

# compiles COMPILER LANGUAGE HEADER OPTION...
compiles() {
    printf '#include <retether/%s>\n#include <retether/%s>\n' "$3" "$3" |
        "$1" -x "$2" -fsyntax-only -Wall -Wextra -Werror -pedantic -I "$include" "${@:4}" -
}

headers=0
for path in "$include"/retether/*.h; do
    header=${path##*/}
    headers=$((headers + 1))
    compiles "$cc" c "$header" -std=c11 -Wstrict-prototypes || complain "$header does not compile alone in C"
    [[ -z $cxx ]] || compiles "$cxx" c++ "$header" -std=c++11 || complain "$header does not compile alone in C++"
    grep -q '^extern "C" {$' "$path" || complain "$header: no extern \"C\""
done
((headers == 4)) || complain "$headers headers instead of 4"

# declared: "NAME yes" or "NAME no", whether the line above its declaration ends a comment.
declared() {
    awk '/^[a-z].*[ *]retether_[a-z_]+\(/ && !/^typedef/ {
            name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
            print name, (above ~ /\*\/$/ ? "yes" : "no")
        }
        { above = $0 }' "$include"/retether/*.h
}
while read -r name commented; do
    [[ $commented == yes ]] || complain "$name has no comment of its own"
done < <(declared)

diff <(declared | cut -d' ' -f1 | sort) <("$nm" -D --defined-only --format=posix "$library" | awk '$2 ~ /[A-Z]/ { print $1 }' | sort) ||
    complain "what is declared (<) is not what the library shows (>)"
"$readelf" -d "$library" | grep -qF "Library soname: [$soname]" || complain "the soname is not $soname"

# A function more, a symbol less: the comparison has to see it.
if diff <(declared | cut -d' ' -f1 | sort) <("$nm" -D --defined-only "$library" | awk '{ print $3 }' | sed 1d | sort) >/dev/null; then
    complain "self-check: a missing symbol is not seen"
fi
((bad == 0)) && echo "$headers headers, $(declared | wc -l) functions${cxx:+, also in C++}"
exit "$bad"
