#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# completion.sh SCRIPTS BIN
# Loads the completion scripts as shells do, and lets them complete "retether att", with the program that was built.
set -u
scripts=$1
export PATH=$2:$PATH

expect() { # SHELL GOT
    if [[ $2 != attach* ]]; then
        echo "$1 completes \"retether att\" to \"$2\""
        exit 1
    fi
    echo "$1: ok"
}

# shellcheck source=/dev/null
source "$scripts/retether.bash"
COMP_WORDS=(retether att)
COMP_CWORD=1
COMPREPLY=()
_retether
expect bash "${COMPREPLY[*]-}"

if command -v zsh >/dev/null; then
    # shellcheck disable=SC2016 # for zsh
    expect zsh "$(zsh -f -c 'words=(retether att) CURRENT=2; _describe() { print -r -- "${candidates[1]}" }; _files() { }
        source $1/_retether' zsh "$scripts")"
else
    echo "zsh: not installed, skipped"
fi
if command -v fish >/dev/null; then
    home=$(mktemp -d) || exit 1
    trap 'rm -rf "$home"' EXIT
    # shellcheck disable=SC2016 # for fish
    expect fish "$(HOME=$home fish --no-config -c 'source $argv[1]/retether.fish; complete -C "retether att"' "$scripts")"
else
    echo "fish: not installed, skipped"
fi
