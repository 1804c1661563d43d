#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# unit.sh UNIT SOCKETS DOCS: systemd reads the unit, and those of its sockets (a folder), without a complaint, and exposes
# the agent no more than the documentation says. 77 where there is no systemd-analyze.
set -u -o pipefail

unit=$1 sockets=$2 docs=$3
if ! command -v systemd-analyze >/dev/null || ! systemd-analyze security --help 2>/dev/null | grep -q offline; then
    echo "skipped: no systemd-analyze with --offline here"
    exit 77
fi
dir=$(mktemp -d /tmp/retether-unit-XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
# The program need not be installed, nor the user be there.
sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,; /^User=/d' "$unit" >"$dir/retetherd.service" || exit 1
cp "$sockets"/*.socket "$dir" || exit 1
complaints=$(SYSTEMD_UNIT_PATH=$dir: systemd-analyze verify "$dir"/retetherd* 2>&1 | grep -F retetherd)
if [[ -n $complaints ]]; then
    echo "systemd complains: $complaints"
    exit 1
fi
cp "$unit" "$dir/retetherd.service" || exit 1
score=$(systemd-analyze security --offline=yes --no-pager "$dir/retetherd.service" |
    sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\) .*/\1/p')
documented=$(sed -n 's/.*`systemd-analyze security` gives it \([0-9.]*[0-9]\).*/\1/p' "$docs")
echo "exposure $score, documented $documented"
[[ -n $score && -n $documented ]] && awk -v a="$score" -v b="$documented" 'BEGIN { exit !(a <= b) }'
