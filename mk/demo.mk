# SPDX-License-Identifier: Apache-2.0

DEMO_OUTPUT ?= demo-output

.PHONY: demo
demo: ## Show ten and more 1 GiB instances on a 4 GiB host, embedded
	@demo/bootstrap.sh
	@.venv-demo/bin/python -m demo $(DEMO_OUTPUT)

.PHONY: demo-clean
demo-clean: ## Remove what the demo has made
	rm -rf .venv-demo $(DEMO_OUTPUT)

clean: demo-clean
