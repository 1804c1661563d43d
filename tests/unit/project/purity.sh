#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# purity.sh CC NM AR SCRATCH LIBRARY...
# The pure libraries, lowest floor first, may need only themselves, the floors below, and the symbols listed here: memory,
# strings, formatting into memory, msgpack, asserts, and what compilers add. No clock, environment, randomness or I/O.
set -u -o pipefail
export LC_ALL=C
cc=$1 nm=$2 ar=$3 scratch=$4
shift 4

ALLOWED="
    malloc calloc realloc free
    memcpy memmove memset memcmp memchr memrchr memmem mempcpy explicit_bzero bcmp
    strlen strnlen strcmp strncmp strcasecmp strncasecmp strchr strchrnul strrchr strstr strspn strcspn strpbrk
    strcpy strncpy stpcpy stpncpy strcat strncat strdup strndup
    htonl htons ntohl ntohs
    snprintf vsnprintf qsort bsearch abs labs llabs
    abort __assert_fail __stack_chk_fail __stack_chk_guard _GLOBAL_OFFSET_TABLE_
    __memcpy_chk __memmove_chk __memset_chk __mempcpy_chk __explicit_bzero_chk
    __strcpy_chk __strncpy_chk __stpcpy_chk __stpncpy_chk __strcat_chk __strncat_chk __snprintf_chk __vsnprintf_chk
    __tls_get_addr __popcountdi2 __udivti3 __umodti3 __divti3 __modti3
"

# check LIBRARY...: prints each forbidden symbol with the library that needs it.
check() {
    local library symbol defined=" " bad=0
    for library in "$@"; do
        if [[ ! -f $library ]]; then
            echo "$library: no such library"
            return 1
        fi
        defined+=$("$nm" --defined-only --extern-only --format=posix "$library" | awk 'NF >= 2 { printf "%s ", $1 }')" "
        while IFS= read -r symbol; do
            if [[ " ${ALLOWED//$'\n'/ } " == *" $symbol "* || $defined == *" $symbol "* || $symbol == msgpack_* ]]; then
                continue
            fi
            echo "${library##*/} needs $symbol"
            bad=1
        done < <("$nm" --undefined-only --format=posix "$library" | awk 'NF >= 2 && $2 ~ /^[Uuwv]$/ { print $1 }' | sort -u)
    done
    return "$bad"
}

# library NAME TEXT: a made-up library from one C file, for the check of the check.
library() {
    printf '%s\n' "$2" >"$dir/$1.c" && "$cc" -O1 -w -c "$dir/$1.c" -o "$dir/$1.o" && "$ar" qc "$dir/lib$1.a" "$dir/$1.o"
}

self_check() {
    library low '#include <string.h>
        int rt_low(const char *a) { return (int)strlen(a); }' || return 1
    library high 'int rt_low(const char *); int rt_high(void) { return rt_low("x"); }' || return 1
    library clock '#include <time.h>
        long rt_clock(void) { return (long)time(0); }' || return 1
    library print '#include <stdio.h>
        void rt_print(int n) { printf("%d", n); }' || return 1
    check "$dir/liblow.a" "$dir/libhigh.a" >"$dir/out" || { echo "self-check: pure libraries are refused"; return 1; }
    check "$dir/libhigh.a" "$dir/liblow.a" >"$dir/out" && { echo "self-check: a call upward is not seen"; return 1; }
    check "$dir/libclock.a" >"$dir/out" && { echo "self-check: a clock is not seen"; return 1; }
    grep -qx 'libclock.a needs time' "$dir/out" || { echo "self-check: the clock is not named"; return 1; }
    check "$dir/libprint.a" >"$dir/out" && { echo "self-check: output is not seen"; return 1; }
    check "$dir/libmissing.a" >"$dir/out" && { echo "self-check: a missing library is not seen"; return 1; }
    return 0
}

mkdir -p "$scratch" && dir=$(mktemp -d "$scratch/purity.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
self_check || exit 1
check "$@" || exit 1
echo "$# libraries are pure"
