#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tox of .venv. Environments are made by uv, which is told the index
# and the certificates that pip uses.
set -eu

cd "$(dirname "$0")/.."

index=$(.venv/bin/python -m pip config get global.index-url 2> /dev/null) \
    || index=
if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then
    export UV_DEFAULT_INDEX="$index"
fi
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
exec .venv/bin/tox "$@"
