#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# tests/system/walk/run.sh README PROGRAMS TEST-PROGRAMS
# Walks the README's "Five minutes by hand": runs its commands as they are written, in a directory of its own, and looks
# for each line of the output that it shows by that line's first word (numbers and times differ from run to run).
set -u -o pipefail

readme=$1 programs=$2 test_programs=$3
dir=$(mktemp -d /tmp/rt-walk-XXXXXX) || exit 1
walk=readme
logs='"$dir"/walk/*.log "$dir"/out "$dir"/attach'
checked=0
# shellcheck source=tests/system/walk/parts.sh
source "${BASH_SOURCE[0]%/*}/parts.sh"

stop_all() {
    local pids
    pids=$(jobs -p)
    # shellcheck disable=SC2086 # one word for each job
    [[ -n $pids ]] && kill $pids 2>/dev/null
    wait 2>/dev/null
    rm -rf "$dir"
}
trap stop_all EXIT
trap 'exit 1' INT TERM

is_commands() { # FILE
    head -n 1 "$1" | grep -qE '^(export|mkdir|retether|vmotion|kill|RETETHER_TOKEN=)'
}

# Every first word that the README shows has to be among those that came.
check_output() { # FILE OUTPUT
    local word
    while read -r word _; do
        if [[ -z $word || $word == ... ]]; then
            continue
        fi
        if [[ $word =~ ^[0-9a-f-]{8,} ]]; then # a time, an id
            word='[0-9a-f-]{8,}'
        fi
        checked=$((checked + 1))
        grep -qE "^$word" "$2" || fail "the README shows a line with $word, but this came: $(cat "$2")"
    done <"$1"
}

# What follows `retether attach web` goes to the second terminal.
attach_block() { # FILE
    (eval "$(cat "$1")") >"$dir/attach" 2>&1 &
    attached=$!
    until_true "output on the attached terminal" eval '[[ $(wc -l <"$dir/attach") -ge 3 ]]'
}

split "$readme" "## Five minutes by hand"
count=$(blocks | wc -l)
[[ $count -ge 10 ]] || fail "only $count blocks in the README: has its section another name?"
output=$dir/out
attached=""
for file in $(blocks); do
    sed -i "s#/tmp/walk#$dir/walk#g; s#\$PWD/build/bin:\$PWD/build/tests#$programs:$test_programs#" "$file"
    if ! is_commands "$file"; then
        check_output "$file" "$output"
    elif grep -q '^retether attach' "$file"; then
        attach_block "$file"
        output=$dir/attach
    else
        output=$dir/out
        eval "$(cat "$file")" >"$output" 2>&1
    fi
done

[[ -n $attached ]] || fail "nothing was attached"
wait "$attached"
status=$?
[[ $status -eq 143 ]] || fail "the attach ended with $status instead of 143"
# It went on counting through the move and the kill, without a line lost or repeated.
awk '$1 == "tick" { if (n && $2 != n + 1) exit 1; n = $2 } END { exit n < 6 }' "$dir/attach" ||
    fail "the attached terminal did not just go on counting"
echo "$walk: $count blocks, $checked lines of output found"
