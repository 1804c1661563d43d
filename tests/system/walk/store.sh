#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# tests/system/walk/store.sh OPERATIONS PROGRAMS
# Sets up the example of "TLS and passwords of the store" in operations.md as it is written: commands and files are read
# out of the text. Each host is a mount namespace with an /etc and a /var/lib of its own; all have their addresses on the
# loopback interface of one network namespace. Then: the agent comes up, follows a failover, takes a password that was
# changed, and reads its certificates anew, all or nothing; no password is seen anywhere.
#
# All of it is in a pid namespace, which ends with this program. Exit status 77: there can be no namespaces here; with CI
# set that is a failure.
set -u -o pipefail

doc=$1 programs=$2
HOSTS="1 2 3"

walk=store logs='"$dir"/*.log "$dir"/*.err'
# shellcheck source=tests/system/walk/parts.sh
source "${BASH_SOURCE[0]%/*}/parts.sh"

enter_namespaces 'mount -t tmpfs lib /var/lib && ip link set lo up' "$0" "$@"
export PATH=$programs:$PATH:/usr/sbin

# file_of PATH [WHICH]: the block that says it goes there, the first one or the WHICH-th, without that line.
file_of() {
    local block found=0
    for block in $(blocks); do
        if [[ $(head -n 1 "$block") == "# $1" ]] && ((++found == ${2:-1})); then
            tail -n +2 "$block"
            return
        fi
    done
    fail "the text has no block for $1"
}

# enter HOST COMMAND...: becomes it, with that host's /etc and /var/lib.
enter() {
    local host=$1
    shift
    exec unshare --mount bash -c 'mount --bind "$0/etc" /etc && mount --bind "$0/lib" /var/lib && exec "$@"' \
        "$dir/$host" "$@"
}

# on HOST COMMAND...
on() {
    (enter "$@")
}

make_host() { # NAME
    local n
    mkdir -p "$dir/$1/etc/redis" "$dir/$1/etc/retether" "$dir/$1/lib/redis"
    cp -r /etc/passwd /etc/group /etc/ssl "$dir/$1/etc/" 2>/dev/null
    echo "hosts: files" >"$dir/$1/etc/nsswitch.conf"
    echo "127.0.0.1 localhost" >"$dir/$1/etc/hosts"
    for n in $HOSTS; do
        echo "192.0.2.1$n redis-$n.example" >>"$dir/$1/etc/hosts"
    done
}

# Its own name and address where the text says so.
of_host() { # N
    sed -E "/^(bind|replica-announce-ip|sentinel announce-ip) /{s/192\.0\.2\.11/192.0.2.1$1/; s/redis-1\./redis-$1./}"
}

make_store() {
    local n
    (cd "$dir" && bash -e "$dir/blocks/1") >"$dir/pki.log" 2>&1 || fail "the commands of retether pki"
    for n in $HOSTS; do
        make_host "redis$n"
        ip address add "192.0.2.1$n/32" dev lo || fail "no address"
        cp -r "$dir/store-ca/store-redis-$n.example" "$dir/redis$n/etc/redis/tls"
        file_of /etc/redis/redis.conf | of_host "$n" >"$dir/redis$n/etc/redis/redis.conf"
        file_of /etc/redis/sentinel.conf | of_host "$n" >"$dir/redis$n/etc/redis/sentinel.conf"
        ((n == 1)) || echo "replicaof redis-1.example 6379" >>"$dir/redis$n/etc/redis/redis.conf"
        enter "redis$n" redis-server /etc/redis/redis.conf >"$dir/redis$n.log" 2>&1 &
        enter "redis$n" redis-server /etc/redis/sentinel.conf --sentinel >"$dir/sentinel$n.log" 2>&1 &
    done
}

make_agent() {
    make_host h1
    cp -r "$dir/store-ca/agent-h1" "$dir/h1/etc/retether/store-tls"
    file_of /etc/retether.conf >"$dir/h1/etc/retether.conf"
    file_of /etc/retether/store.password >"$dir/h1/etc/retether/store.password"
    file_of /etc/retether/sentinel.password >"$dir/h1/etc/retether/sentinel.password"
    chmod 600 "$dir"/h1/etc/retether/*.password
    # The other example: it is read, and takes what is there.
    file_of /etc/retether.conf 2 >"$dir/h1/etc/retether/one.conf"
    on h1 retetherd --config /etc/retether/one.conf --check-config >"$dir/check.log" 2>&1 || fail "the second example"
    enter h1 retetherd --config /etc/retether.conf --host-name h1 --state-dir "$dir/state" --guests "unix:$dir/guest" \
        --clients "unix:$dir/client" --user '* = operator' 2>"$dir/agent.log" &
    agent=$!
}

# cli HOST PORT PASSWORD COMMAND...
cli() {
    local host=$1 port=$2 password=$3
    shift 3
    REDISCLI_AUTH=$password on "redis$host" redis-cli --tls --cacert /etc/redis/tls/ca.pem --cert /etc/redis/tls/cert.pem \
        --key /etc/redis/tls/key.pem -h "redis-$host.example" -p "$port" "$@" 2>>"$dir/cli.err"
}

sentinels_ready() {
    local n
    for n in $HOSTS; do
        [[ $(cli "$n" 26379 password-of-sentinels SENTINEL CKQUORUM retether) == "OK 3 usable Sentinels"* ]] || return 1
        [[ $(cli "$n" 26379 password-of-sentinels SENTINEL REPLICAS retether | grep -c '^flags$') -eq 2 ]] || return 1
    done
}

said() { # PATTERN
    grep -qE -- "$1" "$dir/agent.log"
}

is_alive() {
    retether hosts --agent "unix:$dir/client" >"$dir/hosts" 2>"$dir/hosts.err" && grep -qE '^h1 +alive' "$dir/hosts"
}

# How many connections the agent has at the server of a host.
connections() { # N
    cli "$1" 6379 password-of-servers CLIENT LIST | grep -c ' name=retetherd-h1/'
}

# Which host's server the agent is at, with all its connections: `primary`.
is_at_another() {
    for primary in 2 3; do
        [[ $(connections $primary) -eq 3 ]] && return
    done
    return 1
}

failover() {
    until_true "a failover" eval '[[ $(cli 1 26379 password-of-sentinels SENTINEL FAILOVER retether) == OK ]]'
    until_true "the agent leaves the old primary" said 'no longer rediss://redis-1\.example:6379'
    until_true "the agent is at the new primary" is_at_another
    until_true "the agent is in the store" is_alive
}

# First the file, then the server, which ends what was let in by the old one.
rotate() {
    printf 'retether\nanother-password\n' >"$dir/h1/etc/retether/store.password"
    cli "$primary" 6379 password-of-servers ACL SETUSER retether resetpass '>another-password' >/dev/null
    cli "$primary" 6379 password-of-servers CLIENT KILL USER retether >/dev/null
    until_true "the agent comes with the new password" eval '[[ $(connections $primary) -eq 3 ]]'
    said WRONGPASS && fail "the old password was tried"
    until_true "the agent is in the store" is_alive
}

reload() {
    local tls=$dir/h1/etc/retether/store-tls
    cp "$tls/ca.pem" "$dir/ca.pem"
    echo nonsense >"$tls/ca.pem"
    kill -HUP $agent
    until_true "a reload that fails" said '/etc/retether/store-tls/ca.pem: .*; what was read before stays in use'
    cp "$dir/ca.pem" "$tls/ca.pem"
    kill -HUP $agent
    until_true "a reload" said 'keys read: .*; of the store: /etc/retether/store-tls'
}

split "$doc" "### TLS and passwords of the store"
ip link set lo up || fail "no loopback"
make_store
until_true "the Sentinels" sentinels_ready
make_agent
until_true "the agent is in the store" is_alive
until_true "all its connections" eval '[[ $(connections 1) -eq 3 ]]'
failover
rotate
reload
grep -E 'password-of|another-password' "$dir/agent.log" && fail "a password is in the log"
grep -aE 'password-of|another-password' /proc/$agent/cmdline /proc/$agent/environ && fail "a password is seen from outside"
kill $agent
wait $agent || fail "the agent ended with $?"
echo "$walk: $(blocks | wc -l) blocks; a failover, a change of passwords, a reload, all over TLS"
