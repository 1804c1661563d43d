#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# tests/system/walk/two_hosts.sh OPERATIONS PROGRAMS TEST-PROGRAMS
# Runs "Two hosts in five commands" of operations.md as it is written: the commands are read out of the text. Each host is
# a network namespace with a /run and a /var/lib of its own; a pair of veth interfaces is the network between them, and
# what stands for ssh enters the other host. Then a container with a stream each way is attached to across that network,
# moved to the other host and back, and every byte is compared.
#
# All of it is in a pid namespace, which ends with this program. Exit status 77: there can be no namespaces here; with CI
# set that is a failure.
set -u -o pipefail

doc=$1 programs=$2 test_programs=$3
OUT_BYTES=12582912 IN_BYTES=3145728 PIECE=65536
SEED=7

walk="two hosts" logs='"$dir"/lab/*.log "$dir"/*.log "$dir"/*.err'
# shellcheck source=tests/system/walk/parts.sh
source "${BASH_SOURCE[0]%/*}/parts.sh"

enter_namespaces 'mount -t tmpfs run /run && ip link add v0 type veth peer name v1' "$0" "$@"
export PATH=$dir/bin:$programs:$test_programs:$PATH:/usr/sbin

# make_host NAME: a process that keeps its namespaces; its pid is in NAME.pid.
make_host() {
    mkdir "$dir/$1"
    unshare --net --mount sh -c "mount -t tmpfs run /run && mount -t tmpfs lib /var/lib && ip link set lo up &&
        : >'$dir/$1.up' && exec sleep 100000" &
    echo $! >"$dir/$1.pid"
    until_true "the host $1" test -e "$dir/$1.up"
}

# on HOST DIRECTORY COMMAND
on() {
    nsenter --target "$(cat "$dir/$1.pid")" --net --mount -- sh -c "cd '$2' && $3"
}

make_hosts() {
    mkdir "$dir/bin" "$dir/lab"
    make_host h1
    make_host h2
    ip link add v1 netns "$(cat "$dir/h1.pid")" type veth peer name v2 netns "$(cat "$dir/h2.pid")" || fail "no veth"
    for n in 1 2; do
        on h$n / "ip address add 192.0.2.$n/24 dev v$n && ip link set v$n up" || fail "no network for h$n"
    done
    # ssh ADDRESS COMMAND: in the home directory that root has at that host
    cat >"$dir/bin/ssh" <<SSH
#!/bin/sh
host=h\${1##*.}
export HOME='$dir'/\$host
exec nsenter --target "\$(cat '$dir'/\$host.pid)" --net --mount -- sh -c "cd && \$2"
SSH
    chmod 755 "$dir/bin/ssh"
}

# ---- the text --------------------------------------------------------------------------------------------------------

# command_with BLOCK WORD: the one command of a block that has this word.
command_with() {
    local found
    found=$(grep -w -- "$2" "$dir/blocks/$1") || fail "block $1 of the section has no command with $2"
    [[ $(wc -l <<<"$found") -eq 1 ]] || fail "block $1 of the section has more than one command with $2"
    echo "$found"
}

five_commands() {
    local command n=0
    while IFS= read -r command; do
        echo "$walk: $command"
        on h1 "$dir/lab" "$command" </dev/null 2>>"$dir/lab/commands.log" || fail "failed: $command"
        n=$((n + 1))
    done <"$dir/blocks/1"
    [[ $n -eq 5 ]] || fail "five commands are promised, $n are there"
}

# ---- what they made --------------------------------------------------------------------------------------------------

both_alive() {
    on h1 "$dir/lab" "$hosts" >"$dir/hosts" 2>"$dir/hosts.err"
    [[ $(grep -cE '^h[12] +alive .*tls:192\.0\.2\.' "$dir/hosts") -eq 2 ]]
}

# A store that is not whole yet makes no containers.
run_works() {
    on h1 "$dir/lab" "$(command_with 2 run)" </dev/null >"$dir/run" 2>"$dir/run.err" && [[ $(cat "$dir/run") == "it works" ]]
}

moved_to() { # HOST STYLE
    vmotion --control "unix:$dir/vm.control" move "$1" "$2" >>"$dir/vm.log" || fail "no move to $1"
}

received() { # BYTES
    [[ $(stat -c %s "$dir/out") -ge $1 ]]
}

type_in() {
    local i
    for ((i = 0; i < IN_BYTES / PIECE; i++)); do
        dd if="$dir/in" bs=$PIECE skip=$i count=1 status=none
        sleep 0.05
    done
}

# The container is relayed to the agent of the host that it is on; its client comes from h2.
moving_container() {
    local attach
    attach=$(command_with 2 attach)
    workload --out-bytes $IN_BYTES --seed $((SEED + 1)) </dev/null >"$dir/in" 2>/dev/null || fail "no input"
    workload --out-bytes $OUT_BYTES --seed $SEED </dev/null >"$dir/expected" 2>/dev/null || fail "no output to compare"
    vmotion --guest "unix:$dir/vm.guest" --host "h1=unix:/proc/$(cat "$dir/h1.pid")/root/run/retether/guest.sock" \
        --host "h2=unix:/proc/$(cat "$dir/h2.pid")/root/run/retether/guest.sock" --control "unix:$dir/vm.control" \
        >>"$dir/vm.log" 2>&1 &
    until_true "the relay" test -S "$dir/vm.control"
    on h1 "$dir/lab" "retether create web --agent tls:192.0.2.1:7401 --tls acme" >"$dir/token" || fail "no session"
    RETETHER_TOKEN=$(cat "$dir/token") tether --cid web --agent "unix:$dir/vm.guest" --first-hold 60s -- \
        workload --out-bytes $OUT_BYTES --in-bytes $IN_BYTES --rate 3M --seed $SEED 2>"$dir/tether.log" &
    : >"$dir/out"
    type_in | on h2 "$dir/lab" "exec ${attach/attach/attach -v --since-offset oldest --hold 10m}" \
        >"$dir/out" 2>"$dir/attach.err" &
    local client=$!
    until_true "a quarter of the output" received $((OUT_BYTES / 4))
    moved_to h2 reset
    until_true "half of the output" received $((OUT_BYTES / 2))
    moved_to h1 eof
    wait $client || fail "the attach ended with $?"
    cmp "$dir/expected" "$dir/out" || fail "the output is another one"
    # the workload ends with 0 when its input was the whole stream, and says so
    grep -q "workload: out $OUT_BYTES .* in $IN_BYTES " "$dir/attach.err" || fail "the container saw another input"
    for host in h2 h1; do
        grep -q "resumed, served by $host" "$dir/attach.err" || fail "it was not moved to $host"
    done
}

process_ended() { # PID
    ! kill -0 "$1" 2>/dev/null
}

store_ended() {
    ! on h1 / "redis-cli -h 192.0.2.1 ping" >/dev/null 2>&1
}

all_stopped() {
    local pids
    pids="$(cat "$dir/h1/pid") $(cat "$dir/h2/pid")" || fail "no pids of the agents"
    on h1 "$dir/lab" "$(cat "$dir/blocks/3")" >>"$dir/lab/commands.log" 2>&1 || fail "the command that stops all failed"
    for pid in $pids; do
        until_true "an agent ends" process_ended "$pid"
    done
    until_true "the store ends" store_ended
}

split "$doc" "### Two hosts in five commands"
[[ $(blocks | wc -l) -eq 3 ]] || fail "the section has another name, or other blocks"
make_hosts
five_commands
hosts=$(command_with 2 hosts)
until_true "both agents are there" both_alive
until_true "a container runs" run_works
moving_container
all_stopped
echo "$walk: five commands, $OUT_BYTES bytes out and $IN_BYTES in over TLS, two moves"
