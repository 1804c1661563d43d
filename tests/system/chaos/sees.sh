#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# sees.sh CHAOS   whether it sees what it is there to see: a container's program that loses a block of its output, and one
#                 that reads another byte than was typed
set -u -o pipefail

bad=0
for fault in lose:65536 input:4096; do
    said=$(WORKLOAD_FAULT=$fault "$1" --seconds 0 --sessions 1 --fault cut --seed 1 2>&1)
    rc=$?
    logs=$(sed -n 's|^logs are kept in \(/tmp/retether-[A-Za-z0-9]*\)/log$|\1|p' <<<"$said")
    if ((rc != 1)) || ! grep -q '^chaos: broken, seed 1: stays-0: ' <<<"$said"; then
        echo "$fault: status $rc"
        echo "$said"
        bad=1
    fi
    [[ -z $logs ]] || rm -rf "$logs"
done
"$1" --fault nothing 2>/dev/null
(($? == 2)) || bad=1
exit "$bad"
