# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
# Completion for bash: the program itself knows what may come. Where it says nothing, files are offered.
_retether() {
    local IFS=$'\n'
    # shellcheck disable=SC2207 # a candidate a line
    COMPREPLY=($(retether complete --timeout 1s -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -o bashdefault -o default -F _retether retether
