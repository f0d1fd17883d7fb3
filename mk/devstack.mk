# SPDX-License-Identifier: Apache-2.0

DEVSTACK_LOGS ?= .tox/logs/devstack

.PHONY: devstack-check
devstack-check: ## Run the DevStack plugin in DEVSTACK_DIR's stack.sh, fenced
	@test -n "$(DEVSTACK_DIR)" || { \
		echo "DEVSTACK_DIR must name a checkout of DevStack:"; \
		echo "    git clone https://opendev.org/openstack/devstack"; \
		echo "    make devstack-check DEVSTACK_DIR=devstack"; \
		exit 2; } >&2
	@$(MAKE) --no-print-directory venv
	@$(TOX) run -q -e devstack -- --devstack "$(DEVSTACK_DIR)" \
		--logs "$(DEVSTACK_LOGS)" $(ONLY)
