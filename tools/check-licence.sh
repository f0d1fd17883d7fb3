#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Names the source files whose first lines don't tell their licence.
set -eu

status=0
for file; do
    if ! head -n 5 "$file" | grep -q "SPDX-License-Identifier: Apache-2.0"; then
        echo "$file: no SPDX-License-Identifier: Apache-2.0 in 5 lines"
        status=1
    fi
done
exit "$status"
