#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# DevStack calls this at each phase: which function runs when.

_XTRACE_XEN_OVERCOMMIT=$(set +o | grep xtrace)
set +o xtrace

# shellcheck source=devstack/lib/xen_overcommit
source "$XEN_OVERCOMMIT_DIR/devstack/lib/xen_overcommit"
# shellcheck source=devstack/lib/units
source "$XEN_OVERCOMMIT_DIR/devstack/lib/units"
# shellcheck source=devstack/lib/xen_host
source "$XEN_OVERCOMMIT_DIR/devstack/lib/xen_host"

$_XTRACE_XEN_OVERCOMMIT

case "$1/$2" in
    stack/pre-install)
        xen_overcommit_check_settings
        xen_overcommit_prepare_host
        ;;
    stack/install)
        xen_overcommit_install
        ;;
    stack/post-config)
        xen_overcommit_configure
        ;;
    stack/extra)
        xen_overcommit_warn_of_conflicts
        xen_overcommit_start
        ;;
    stack/test-config)
        xen_overcommit_show
        ;;
    unstack/)
        xen_overcommit_stop
        ;;
    clean/)
        xen_overcommit_clean
        ;;
esac
