#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# order.sh ROOT SCRATCH [NM FOLDER=ARCHIVE...]
# A folder with a file ORDER has no circle: its files stand in that order, and each includes only earlier ones. Where the
# folder's archive is given, each also calls only what earlier ones define. A pattern names files of one place, which do not
# call each other.
set -u -o pipefail
export LC_ALL=C
root=$1 scratch=$2
shift 2

# ranks FOLDER: "file rank" a line, of what its ORDER names.
ranks() {
    local name rank=0 file
    while read -r name; do
        if [[ -z $name || $name == \#* ]]; then
            continue
        fi
        if [[ $name == *\** ]]; then
            rank=$((rank + 1))
            (cd "$1" && printf "%s $rank\n" $name)
            continue
        fi
        for file in "$name" "$name.h" "$name.c"; do
            if [[ $file == *.[ch] && ( -e $1/$file || $file == "$name" ) ]]; then
                rank=$((rank + 1))
                echo "$file $rank"
            fi
        done
    done <"$1/ORDER"
}

# check_includes FOLDER: FOLDER is by its path from the root, in which this runs.
check_includes() {
    local bad=0
    ranks "$1" >"$dir/ranks"
    if ! diff <(cd "$1" && printf '%s\n' *.[ch] | sort) <(cut -d ' ' -f 1 "$dir/ranks" | sort) >"$dir/diff"; then
        sed -n "s|^< |$1/ORDER: does not name |p; s|^> |$1/ORDER: names what is not there, or twice: |p" "$dir/diff"
        bad=1
    fi
    awk -v folder="$1" '
        NR == FNR { rank[$1] = $2; next }
        FNR == 1 { n = split(FILENAME, part, "/"); file = part[n] }
        $0 ~ "^[ \t]*#[ \t]*include[ \t]*\"" folder "/" {
            split($0, part, "\"")
            header = substr(part[2], length(folder) + 2)
            if (rank[header] >= rank[file]) {
                print folder "/" file ": includes " header ", which stands behind it in ORDER"
                bad = 1
            }
        }
        END { exit bad }' "$dir/ranks" "$1"/*.[ch] || bad=1
    return "$bad"
}

# check_calls FOLDER NM ARCHIVE
check_calls() {
    ranks "$1" >"$dir/ranks"
    "$2" -A -P "$3" >"$dir/symbols" || return 1
    # archive[member.c.o]: symbol type ...
    awk -v folder="$1" '
        NR == FNR { rank[$1] = $2; next }
        { file = $1; sub(/.*\[/, "", file); sub(/\.o\]:$/, "", file) }
        $3 == "U" { called[file " " $2] = 1; next }
        $3 ~ /^[A-TV-Z]$/ { home[$2] = file; symbols++ }
        END {
            for (call in called) {
                split(call, part, " ")
                to = home[part[2]]
                if (to != "" && rank[to] >= rank[part[1]]) {
                    print folder "/" part[1] ": calls " part[2] "() of " to ", which stands behind it in ORDER"
                    bad = 1
                }
            }
            if (symbols == 0) {
                print folder ": its archive defines nothing"
                bad = 1
            }
            exit bad
        }' "$dir/ranks" "$dir/symbols"
}

# expect GOOD|BAD ORDER LINE: a folder of a.h, a.c, b.h and b.c, of which a.c has this line.
expect() {
    local rc=0 tree=$dir/tree
    rm -rf "$tree"
    mkdir -p "$tree/room"
    echo '#include "room/a.h"' >"$tree/room/b.c"
    : >"$tree/room/a.h"
    : >"$tree/room/b.h"
    echo "$3" >"$tree/room/a.c"
    printf '%b' "$2" >"$tree/room/ORDER"
    (cd "$tree" && check_includes room) >"$dir/out" || rc=1
    if [[ $1 == GOOD && $rc != 0 || $1 == BAD && $rc == 0 ]]; then
        echo "self-check: $3 with the order $2 should be $1"
        cat "$dir/out"
        return 1
    fi
}

# What nm -A -P says of an archive in which b.c calls what a.c defines.
made_up_nm() {
    printf 'lib.a[%s.c.o]: %s\n' a 'rt_a T 0 0' b 'rt_a U' b 'rt_b T 0 0'
}

self_check() {
    expect GOOD 'a\nb\n' '#include "room/a.h"' &&
        expect GOOD '# words\n\na.h\nb\na.c\n' '#include "room/b.h"' &&
        expect GOOD 'a\nb\n' '#include "elsewhere/b.h"' &&
        expect BAD 'a\nb\n' '#include "room/b.h"' &&
        expect BAD 'a\nb\n' ' # include "room/b.h"' &&
        expect GOOD 'b.h\n*a.[ch]\nb.c\n' '#include "room/b.h"' &&
        expect BAD 'b.h\n*.c\n' '#include "room/b.h"' &&
        expect BAD 'b\na\n' '#include "room/a.h"' &&
        expect BAD 'a\n' '#include "room/a.h"' &&
        expect BAD 'a\nb\nc.h\n' '#include "room/a.h"' &&
        expect BAD 'a\nb\na\n' '#include "room/a.h"' || return 1
    printf 'a\nb\n' >"$dir/tree/room/ORDER"
    (cd "$dir/tree" && check_calls room made_up_nm lib.a) || { echo "self-check: a call downward is refused"; return 1; }
    printf 'b\na\n' >"$dir/tree/room/ORDER"
    (cd "$dir/tree" && check_calls room made_up_nm lib.a >/dev/null) && { echo "self-check: a call upward is not seen"; return 1; }
    printf '*.c\n' >"$dir/tree/room/ORDER"
    (cd "$dir/tree" && check_calls room made_up_nm lib.a >/dev/null) && { echo "self-check: a call within a pattern is not seen"; return 1; }
    return 0
}

mkdir -p "$scratch" && dir=$(mktemp -d "$scratch/order.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
self_check || exit 1
cd "$root" || exit 1
bad=0 folders=0
for file in session/*/ORDER migrate/*/ORDER broker/ORDER broker/*/ORDER clients/*/ORDER; do
    if [[ -e $file ]]; then
        folders=$((folders + 1))
        check_includes "${file%/ORDER}" || bad=1
    fi
done
nm=${1:-} archives=0
for archive in "${@:2}"; do
    archives=$((archives + 1))
    check_calls "${archive%%=*}" "$nm" "${archive#*=}" || bad=1
done
echo "$folders folders, of $archives their archives"
((folders > 0)) && exit "$bad"
