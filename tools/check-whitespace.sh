#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Names lines that end in blanks or carriage returns, and files whose last
# line has no end.
set -eu

status=0
for file; do
    if grep -nHE "[[:blank:]$(printf '\r')]\$" "$file"; then
        status=1
    fi
    if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then
        echo "$file: no newline at the end"
        status=1
    fi
done
exit "$status"
