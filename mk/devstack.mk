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
	@tools/install-packages.sh devstack
	@# tox has the last word else, and that is the result's.
	@$(TOX) run -q -e devstack --notest
	@.tox/devstack/bin/python -m tests.devstack \
		--devstack "$(DEVSTACK_DIR)" --logs "$(DEVSTACK_LOGS)" $(ONLY)
