#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Freezes the releases that the tests run with, for each supported Nova:
# tests/constraints-nova*.in -> tests/constraints-nova*.txt. Run it by hand to
# take newer releases; needs uv.
set -eu

cd "$(dirname "$0")/.."

for input in tests/constraints-nova*.in; do
    # The set must do on every Python that has this Nova, so no markers are
    # resolved away: --universal.
    uv pip compile --quiet --universal --python-version 3.11 \
        --no-annotate --no-header --no-strip-extras \
        --extra test --extra simulate \
        "$input" pyproject.toml --output-file "$input.tmp" \
        --no-emit-package nova_xen_overcommit
    {
        echo "# Written by tools/freeze-constraints.sh from ${input##*/}."
        # A constraint may have no extras.
        sed 's/\[[^]]*\]//' "$input.tmp"
    } > "${input%.in}.txt"
    rm "$input.tmp"
done
