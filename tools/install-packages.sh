#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that bindep.txt names and this machine lacks:
# those without a profile, and those of the profiles given as arguments.
# Needs root or sudo only if one is missing.
set -eu

cd "$(dirname "$0")/.."

wanted() {
    awk -v profiles="$*" '
        BEGIN { count = split(profiles, list, " ") }
        /^[[:space:]]*(#|$)/ { next }
        {
            name = $1
            sub(/^[^[]*/, "")
            gsub(/\[|\]|platform:[a-z]+/, "")
            take = ($0 ~ /^[[:space:]]*$/)
            for (i = 1; i <= count; i++)
                if (index(" " $0 " ", " " list[i] " "))
                    take = 1
            if (take)
                print name
        }' bindep.txt
}

missing() {
    wanted "$@" | while read -r name; do
        # shellcheck disable=SC2016 # dpkg-query's own variable
        state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>&1) || state=
        [ "$state" = installed ] || echo "$name"
    done
}

command -v dpkg-query > /dev/null || {
    echo "Not Debian or Ubuntu: install what bindep.txt names" >&2
    exit 0
}
names=$(missing "$@")
[ -n "$names" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    command -v sudo > /dev/null || {
        echo "As root, please: apt-get install $names" >&2
        exit 1
    }
fi
# shellcheck disable=SC2086 # names are words, to be shown in one line
echo "Installing" $names
$as_root apt-get update -qq
# sudo passes no environment on.
# shellcheck disable=SC2086 # names and the prefix are lists of words
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 $names > /dev/null
