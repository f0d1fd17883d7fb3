#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Prints where promtool is, which checks rules of Prometheus. Where it isn't
# installed it is unpacked from Debian's package below DIRECTORY (.tox by
# default): nothing is installed, and no server starts.
set -eu

cd "$(dirname "$0")/.."
directory=${1:-.tox}/promtool

if command -v promtool; then
    exit 0
fi
if [ ! -x "$directory/promtool" ]; then
    command -v dpkg-deb > /dev/null || {
        echo "Neither promtool nor Debian's tools are here" >&2
        exit 3
    }
    mkdir -p "$directory"
    work=$(mktemp -d "$directory/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    # As root apt would become a user who may not write here.
    get="apt-get -qq -o APT::Sandbox::User= download prometheus"
    (cd "$work" && $get) || {
        as_root=
        [ "$(id -u)" = 0 ] || as_root=sudo
        $as_root apt-get update -qq >&2
        (cd "$work" && $get)
    }
    dpkg-deb -x "$work"/prometheus_*.deb "$work/tree"
    mv "$work/tree/usr/bin/promtool" "$directory/promtool"
fi
echo "$PWD/$directory/promtool"
