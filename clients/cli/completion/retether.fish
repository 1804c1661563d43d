# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
# Completion for fish: the program itself knows what may come. Where it says nothing, files are offered.
complete -c retether -a '(retether complete --timeout 1s -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
