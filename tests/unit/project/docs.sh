#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# docs.sh ROOT
# Files and functions that docs/architecture.md and docs/testing.md name in code marks are there, and the tests that
# docs/security.md names. No line of a text is
# longer than 100 columns, but for the rows of tables, and the users of an ACL, which cannot be broken.
set -u -o pipefail
export LC_ALL=C
cd "$1" || exit 1

bad=0
for doc in docs/architecture.md docs/testing.md; do
    names=$(grep -o '`[^` ]*`' "$doc" | tr -d '`' | sort -u)
    while read -r name; do
        case $name in
        *[\<\>*]*) ;;
        session/*.[ch] | migrate/*.[ch] | broker/*.[ch] | clients/*.[ch] | tests/*.[ch])
            if [[ ! -e $name ]]; then
                echo "$doc: names $name, which is not there"
                bad=1
            fi
            ;;
        *'()')
            if ! grep -rqw --include='*.[ch]' -- "${name%'()'}" broker session migrate clients tests; then
                echo "$doc: names $name, which no file has"
                bad=1
            fi
            ;;
        esac
    done <<<"$names"
done
while read -r name; do
    if ! compgen -G "tests/*/${name%%_test_*}/test_${name#*_test_}.c" >/dev/null; then
        echo "docs/security.md: names the test $name, which is not there"
        bad=1
    fi
done < <(grep -oE '`[a-z_]+_test_[a-z_]+`' docs/security.md | tr -d '`' | sort -u)
for doc in README.md NEWS docs/*.md; do
    LC_ALL=C.UTF-8 grep -nE '^[^|].{100,}' "$doc" | grep -v '^[0-9]*:    user ' | sed "s|^|$doc:|; s|\$| <- longer than 100 columns|" && bad=1
done
exit "$bad"
