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

# What the environment is made from; also where it is, since a virtual
# environment can't be moved.
made_from() {
    pwd
    python3 --version
    cat demo/requirements.txt pyproject.toml requirements.txt
}
wanted=$(made_from | sha256sum)
if [ "$(cat $venv/made-from 2> /dev/null)" = "$wanted" ]; then
    exit 0
fi

echo "Installing Nova, Placement and libvirt-python into $venv;" \
    "log: $log"
rm -rf $venv
python3 -m venv $venv
{
    $venv/bin/pip install --disable-pip-version-check \
        -r demo/requirements.txt &&
        $venv/bin/pip install --disable-pip-version-check --no-deps -e .
} > $log 2>&1 || {
    tail -n 20 $log >&2
    echo "Installing failed; see $log" >&2
    exit 1
}
echo "$wanted" > $venv/made-from
