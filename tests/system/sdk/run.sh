#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# tests/system/sdk/run.sh CMAKE ROOT BUILD LIBDIR CC
# Installs each component of BUILD to a prefix of its own, builds the examples against the installed SDK and runs them with
# a real agent and Redis; the one in Go too where there is a Go. And configures the project without tests and without cmocka.
set -u -o pipefail
export LC_ALL=C

cmake=$1 root=$2 build=$3 libdir=$4 cc=$5
dir=$(mktemp -d /tmp/rt-sdk-XXXXXX) || exit 1
pids=()

finish() {
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null
        wait "${pids[i]}" 2>/dev/null
    done
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

fail() {
    echo "sdk: $*" >&2
    tail -n 20 "$dir"/*.log >&2
    exit 1
}

# wait_for COMMAND...: until it succeeds.
wait_for() {
    local i
    for ((i = 0; i < 600; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    fail "in vain: $*"
}

# ---- what each component installs ----

install_component() { # NAME
    "$cmake" --install "$build" --prefix "$dir/$1" --component "$1" >>"$dir/install.log" 2>&1 || fail "cmake --install: $1"
    (cd "$dir/$1" && find . ! -type d | sed 's|^\./||' | sort)
}

# expect_files NAME FILE...: nothing else is installed, but for the names of CMake's and the library's versions.
expect_files() {
    local name=$1 got
    shift
    got=$(install_component "$name" | sed -E 's/Targets-[a-z]+\.cmake$/Targets-TYPE.cmake/; s/\.so\.[0-9].*\.[0-9].*/.so.VERSION/')
    [[ $got == "$(printf '%s\n' "$@" | sort)" ]] || fail "the component $name has: $got"
}

expect_files agent bin/retetherd lib/systemd/system/retetherd.service \
    lib/systemd/system/retetherd-clients.socket lib/systemd/system/retetherd-guests.socket lib/sysusers.d/retether.conf
expect_files client bin/retether share/bash-completion/completions/retether share/fish/vendor_completions.d/retether.fish \
    share/zsh/site-functions/_retether
expect_files guest bin/tether
expect_files sdk include/retether/{client,error,guest,version}.h "$libdir"/libretether.{a,so,so.0,so.VERSION} \
    "$libdir"/pkgconfig/retether.pc "$libdir"/cmake/retether/retether{Config,ConfigVersion,Targets,Targets-TYPE}.cmake \
    share/doc/retether/examples/{CMakeLists.txt,attach.c,list.c,list.go}
mv "$dir/sdk" "$dir/moved" # to any prefix, and from there to any other
export PKG_CONFIG_PATH=$dir/moved/$libdir/pkgconfig LD_LIBRARY_PATH=$dir/moved/$libdir

# ---- without tests nothing needs cmocka ----

mkdir "$dir/tools"
cat >"$dir/tools/pkg-config" <<END
#!/bin/sh
case " \$* " in *cmocka*) exit 1 ;; esac
exec $(command -v pkg-config) "\$@"
END
chmod +x "$dir/tools/pkg-config"
configure() { # DIRECTORY OPTION...
    "$cmake" -G Ninja -S "$root" -B "$dir/$1" -DCMAKE_C_COMPILER="$cc" -DPKG_CONFIG_EXECUTABLE="$dir/tools/pkg-config" "${@:2}" \
        >"$dir/configure.log" 2>&1
}
configure with && fail "tests are configured without cmocka: this test tests nothing"
configure without -DBUILD_TESTING=OFF || fail "BUILD_TESTING=OFF needs cmocka"
targets=$("$cmake" --build "$dir/without" --target help) || fail "no list of targets"
grep -q '^retetherd:' <<<"$targets" || fail "no targets: $targets"
grep -q 'test_' <<<"$targets" && fail "BUILD_TESTING=OFF builds tests"

# ---- the examples ----

examples=$dir/moved/share/doc/retether/examples
"$cmake" -G Ninja -S "$examples" -B "$dir/examples" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$dir/moved" \
    >"$dir/examples.log" 2>&1 && "$cmake" --build "$dir/examples" >>"$dir/examples.log" 2>&1 || fail "find_package(retether)"
for file in "$examples"/*.{c,go}; do
    (($(wc -l <"$file") <= 60)) || fail "$file has more than 60 lines"
done
"$cc" -std=c11 -Wall -Wextra -pedantic -Werror -D_POSIX_C_SOURCE=200809L -I "$dir/moved/include" -fsyntax-only "$examples"/*.c \
    >"$dir/warnings.log" 2>&1 || fail "an example compiles with warnings"
"$cc" -x c++ -std=c++20 -Wall -Werror -I "$dir/moved/include" -fsyntax-only "$examples"/*.c >"$dir/c++.log" 2>&1 \
    || fail "an example is no C++"
# shellcheck disable=SC2046 # words
"$cc" -o "$dir/list-pc" "$examples/list.c" $(pkg-config --cflags --libs retether) >"$dir/pc.log" 2>&1 || fail "retether.pc"

redis-server --port 0 --unixsocket "$dir/redis.sock" --dir "$dir" --save '' >"$dir/redis.log" 2>&1 &
pids+=($!)
wait_for redis-cli -s "$dir/redis.sock" ping
"$dir/agent/bin/retetherd" --host-name one --guests "unix:$dir/guest.sock" --clients "unix:$dir/client.sock" --state-dir "$dir/state" \
    --store "redis+unix://$dir/redis.sock" --user '* = vch/local' 2>"$dir/agent.log" &
pids+=($!)
export RETETHER_AGENTS=unix:$dir/client.sock
wait_for "$dir/client/bin/retether" hosts
token=$("$dir/client/bin/retether" create web 2>"$dir/create.log") || fail "retether create"
# shellcheck disable=SC2016 # its own variables
RETETHER_TOKEN=$token "$dir/guest/bin/tether" --cid web --agent "unix:$dir/guest.sock" -- \
    sh -c 'while read -r line; do echo "got $line"; done; echo enough >&2; exit 7' 2>"$dir/tether.log" &
pids+=($!)

runs_list() { # PROGRAM
    local got
    got=$("$1" "$RETETHER_AGENTS" 2>"$dir/list.log") && [[ $got == "web running one" ]]
}
wait_for runs_list "$dir/examples/list"
for program in examples/list-static list-pc; do
    runs_list "$dir/$program" || fail "$program"
done

# More than the window of 256 KiB goes in: the example has to wait for room.
lines=40000
{ seq $lines; sleep 1; } | "$dir/examples/attach" "$RETETHER_AGENTS" web >"$dir/out" 2>"$dir/attach.log"
status=$?
[[ $status -eq 7 ]] || fail "attach ended with $status instead of 7"
cmp "$dir/out" <(seq $lines | sed 's/^/got /') >>"$dir/attach.log" 2>&1 || fail "what came through attach is not what went in"
[[ $(cat "$dir/attach.log") == enough ]] || fail "stderr"

if ! command -v go >/dev/null; then
    echo "sdk: installed, used, run; the example in Go is skipped: there is no go here (Debian: golang-go)"
    exit 0
fi
(cd "$examples" && GOCACHE=$dir/go GO111MODULE=off CGO_ENABLED=1 CC=$cc go build -o "$dir/list-go" list.go) \
    >"$dir/go.log" 2>&1 || fail "go build"
got=$("$dir/list-go" "$RETETHER_AGENTS" 2>>"$dir/go.log") || fail "the example in Go"
[[ $got == "web ended one" ]] || fail "the example in Go says: $got"
echo "sdk: installed, used, run, in Go too"
