#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes .venv with tox, unless it is there and current.
set -eu

cd "$(dirname "$0")/.."

stamp=.venv/requirements.txt
if cmp -s tools/requirements.txt "$stamp" && .venv/bin/tox --version > /dev/null
then
    exit 0
fi
tools/install-packages.sh test
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or later is needed" >&2
    exit 1
}
echo "Making .venv"
rm -rf .venv
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --requirement tools/requirements.txt
cp tools/requirements.txt "$stamp"
