#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# floors.sh ROOT SCRATCH
# Reads every #include of the product's sources and holds it against the floors: session <- migrate <- broker and clients, a
# core below its shell, clients never include broker, nothing includes upward, and each foreign library has its one place.
set -u -o pipefail
export LC_ALL=C
root=$1 scratch=$2

# house: the houses that its files may include, by path from the root. The first house that fits a file counts.
FLOORS='
session/base:       session/base
session/core:       session/base session/core
session/transport:  session/base session/core session/transport
session/tls:        session/base session/core session/transport session/tls
migrate/core:       session/base session/core migrate/core
migrate/seal:       session/base session/core migrate/core migrate/seal
migrate/store:      session/base session/core session/transport session/tls migrate/core migrate/store
broker/core:        session/base session/core migrate/core broker/core
broker:             session migrate broker
clients/include:    retether
clients/examples:   retether
clients/lib:        session migrate/core clients/lib retether
clients/tether:     session/base session/core session/transport migrate/core clients/lib clients/tether retether
clients/cli/pki:    session/base session/core clients/cli/pki
clients/cli:        session migrate/core migrate/seal clients/lib clients/tether clients/cli retether
'

# Pure houses may include these system headers only.
PURE='session/core migrate/core broker/core'
PURE_HEADERS='assert.h inttypes.h limits.h stdalign.h stdarg.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
    stdnoreturn.h string.h msgpack.h utarray.h uthash.h utlist.h utringbuffer.h utstring.h xxhash.h'

# Foreign headers that have their own houses: pattern of the header, then the houses.
WRAPPED='
uv.h        session/transport session/tls migrate/store broker clients
uv/*        session/transport session/tls migrate/store broker clients
hiredis*    migrate/store
openssl/*   session/tls migrate/seal clients/cli/pki
confuse.h   broker
msgpack*    session/core
'

# in_house FILE HOUSE...: whether the path lies in one of them.
in_house() {
    local file=$1 house
    shift
    for house in "$@"; do
        if [[ $file == "$house"/* ]]; then
            return 0
        fi
    done
    return 1
}

complain() {
    echo "$1: includes $2: $3"
    bad=1
}

# check_own FILE HEADER: a header of ours, by path from the root.
check_own() {
    local house allowed
    while IFS=: read -r house allowed; do
        if [[ -n $house ]] && in_house "$1" "$house"; then
            # shellcheck disable=SC2086 # a list of words
            if ! in_house "$2" $allowed; then
                complain "$1" "$2" "$house may include only$(printf ' %s' $allowed)"
            fi
            return
        fi
    done <<<"$FLOORS"
    complain "$1" "$2" "the file is in no house"
}

# check_system FILE HEADER: a header of the system or of a foreign library.
check_system() {
    local pattern houses
    # shellcheck disable=SC2086 # lists of words
    while read -r pattern houses; do
        # shellcheck disable=SC2053 # a pattern
        if [[ -n $pattern && $2 == $pattern ]] && ! in_house "$1" $houses; then
            complain "$1" "<$2>" "only here: $houses"
            return
        fi
    done <<<"$WRAPPED"
    # shellcheck disable=SC2086 # lists of words
    if in_house "$1" $PURE && [[ " ${PURE_HEADERS//$'\n'/ } " != *" $2 "* ]] && [[ $2 != msgpack/* ]]; then
        complain "$1" "<$2>" "a pure floor knows no such thing"
    fi
}

# check ROOT: reads all sources below it; prints what is wrong.
check() {
    local file form header count=0
    bad=0
    while IFS=$'\t' read -r file form header; do
        count=$((count + 1))
        case $form$header in
        \"session/* | \"migrate/* | \"broker/* | \"clients/* | \"retether/* | \<retether/*) check_own "$file" "$header" ;;
        \"*) complain "$file" "\"$header\"" "own headers are named by their path from the root" ;;
        *) check_system "$file" "$header" ;;
        esac
    done < <(cd "$1" && find session migrate broker clients -name '*.[ch]' -print0 2>/dev/null | sort -z |
        xargs -0r awk '/^[ \t]*#[ \t]*include[ \t]*["<]/ {
            form = index($0, "<") && (!index($0, "\"") || index($0, "<") < index($0, "\"")) ? "<" : "\""
            text = substr($0, index($0, form) + 1)
            sub(/[">].*/, "", text)
            printf "%s\t%s\t%s\n", FILENAME, form, text
        }')
    if ((count == 0)); then
        echo "$1: no sources with includes"
        return 1
    fi
    includes=$count
    return "$bad"
}

# expect GOOD|BAD FILE LINE: a made-up tree with this one line must pass or fail.
expect() {
    local tree=$dir/tree rc=0
    rm -rf "$tree"
    mkdir -p "$tree/${2%/*}"
    printf '%s\n' '/* made up */' "$3" >"$tree/$2"
    check "$tree" >"$dir/out" || rc=1
    if [[ $1 == GOOD && $rc != 0 || $1 == BAD && $rc == 0 ]]; then
        echo "self-check: $2 with $3 should be $1"
        cat "$dir/out"
        return 1
    fi
}

self_check() {
    expect GOOD session/core/x.c '#include "session/core/ring.h"' &&
        expect GOOD session/core/x.c '#include <string.h>' &&
        expect GOOD session/transport/x.c '# include <uv.h>' &&
        expect GOOD broker/x.c '#include "broker/core/switch.h"' &&
        expect GOOD clients/cli/x.c '#include <retether/client.h>' &&
        expect GOOD session/core/x.c '#include "session/base/text.h"' &&
        expect GOOD session/base/x.c '#include <sys/socket.h>' &&
        expect BAD session/base/x.c '#include "session/core/ring.h"' &&
        expect BAD session/base/x.c '#include <uv.h>' &&
        expect BAD session/core/x.c '#include <uv.h>' &&
        expect BAD session/core/x.c '  #  include <time.h>' &&
        expect BAD session/core/x.h '#include <sys/socket.h>' &&
        expect BAD migrate/core/x.c '#include <unistd.h> /* "why" */' &&
        expect BAD broker/core/x.c '#include <openssl/evp.h>' &&
        expect BAD broker/x.c '#include <hiredis/hiredis.h>' &&
        expect BAD migrate/core/x.c '#include <msgpack.h>' &&
        expect BAD session/core/x.c '#include "session/transport/link.h"' &&
        expect BAD session/core/x.c '#include "migrate/core/claim.h"' &&
        expect BAD migrate/core/x.c '#include "migrate/store/store.h"' &&
        expect BAD migrate/store/x.c '#include "broker/config.h"' &&
        expect BAD broker/core/x.c '#include "broker/agent.h"' &&
        expect BAD broker/x.c '#include "clients/lib/client.h"' &&
        expect BAD clients/cli/x.c '#include "broker/core/switch.h"' &&
        expect BAD clients/tether/x.c '#include "migrate/seal/seal.h"' &&
        expect BAD broker/x.c '#include "tests/lib/cluster.h"' &&
        expect BAD broker/x.c '#include "config.h"' &&
        expect BAD clients/examples/x.c '#include "clients/lib/client.h"' &&
        expect BAD broker/x.c 'int no_include_at_all;'
}

mkdir -p "$scratch" && dir=$(mktemp -d "$scratch/floors.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
self_check || exit 1
check "$root" || exit 1
echo "$includes includes keep the floors"
