# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# shellcheck shell=bash
# What the walks share. Who sources it sets `walk`, its own name, and `logs`, files that say more when it fails: patterns
# with $dir in them, which is the walk's directory.

LIMIT_S=${LIMIT_S:-120} # for anything to come; catches hangs only

fail() {
    echo "$walk: $*" >&2
    eval "tail -n 20 $logs" >&2 2>/dev/null
    exit 1
}

# until_true WHAT COMMAND...
until_true() {
    local what=$1 until=$((SECONDS + LIMIT_S))
    shift
    until "$@"; do
        ((SECONDS < until)) || fail "waited in vain: $what"
        sleep 0.05
    done
}

# split FILE HEADING: each indented block under this heading becomes a file, $dir/blocks/1, 2, ...; a command that goes on
# in the next line is one line there.
split() {
    mkdir "$dir/blocks"
    awk -v dir="$dir/blocks" -v heading="$2" '
        /^##+ / { on = ($0 == heading); next }
        !on { next }
        /^    / {
            if (!inside) { n++; inside = 1 }
            text = substr($0, 5)
            more = sub(/\\$/, "", text)
            if (held != "") sub(/^ +/, "", text)
            held = held text
            if (!more) { print held > (dir "/" n); held = "" }
            next
        }
        { inside = 0 }' "$1"
}

# The files of split, in their order.
blocks() {
    find "$dir/blocks" -type f | sort -V
}

# enter_namespaces TRY PROGRAM ARGS...: runs the program in namespaces of its own, where it comes here again and goes on.
# They end with it. Exit status 77: the command TRY fails in them, so there can be none; with CI set that is a failure.
enter_namespaces() {
    local try=$1 why own=(--mount --net --pid --fork --kill-child --mount-proc)
    shift
    if [[ -n ${RETETHER_WALK_DIR:-} ]]; then
        dir=$RETETHER_WALK_DIR
        unset RETETHER_AGENTS RETETHER_TLS RETETHER_GUEST_AGENT RETETHER_WALK_DIR
        return
    fi
    ((EUID == 0)) || own+=(--user --map-root-user)
    if ! why=$(unshare "${own[@]}" sh -c "$try" 2>&1); then
        echo "$walk: skipped: the namespaces that it needs are not allowed here: $why"
        [[ -n ${CI:-} ]] && exit 1
        exit 77
    fi
    dir=$(mktemp -d /tmp/rt-walk-XXXXXX) || exit 1
    RETETHER_WALK_DIR=$dir unshare "${own[@]}" "$@" &
    inner=$!
    trap 'kill -KILL $inner 2>/dev/null; wait; rm -rf "$dir"' EXIT
    trap 'exit 1' INT TERM
    wait $inner
    exit $?
}
