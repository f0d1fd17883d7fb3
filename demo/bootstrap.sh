#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes .venv-demo, with exact versions of all that the demo needs. Does
# nothing when it is there and nothing has changed since.
set -eu

cd "$(dirname "$0")/.."
venv=.venv-demo
log=$venv/install.log

tools/install-packages.sh

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "make demo needs Python 3.11 or later" >&2
    exit 1
}

run() {
    "$@" >> $log 2>&1 || {
        tail -n 20 $log >&2
        echo "Installing failed; see $log" >&2
        exit 1
    }
}

# Does step $1 unless what it is made from, on standard input, is as it was.
step() {
    made_from=$(sha256sum)
    if [ "$(cat "$venv/made-$1" 2> /dev/null)" != "$made_from" ]; then
        "$1"
        echo "$made_from" > "$venv/made-$1"
    fi
}

environment() {
    echo "Installing Nova, Placement and libvirt-python into $venv;" \
        "log: $log"
    rm -rf $venv
    python3 -m venv $venv
    run $venv/bin/pip install --disable-pip-version-check \
        -r demo/requirements.txt
}

package() {
    run $venv/bin/pip install --disable-pip-version-check --no-deps -e .
}

# A virtual environment can't be moved, so its place counts too.
{
    pwd
    python3 --version
    cat demo/requirements.txt
} | step environment
cat pyproject.toml setup.cfg | step package
