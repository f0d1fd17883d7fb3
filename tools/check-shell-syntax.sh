#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Parses each script with the shell that its first line names.
set -eu

status=0
for script; do
    shell="sh"
    if head -n 1 "$script" | grep -q bash; then
        shell="bash"
    fi
    "$shell" -n "$script" || status=1
done
exit "$status"
