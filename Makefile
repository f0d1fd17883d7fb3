# SPDX-License-Identifier: Apache-2.0

TOX = tools/tox.sh
.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sort \
		| sed -E 's/^([a-z0-9-]+):.*## */\1\t/' | expand -t 20

.PHONY: test
test: venv ## Run every check; NOVA_XEN_OVERCOMMIT_LAB=0 leaves the lab out (KVM: likewise)
	@python3 tools/run_checks.py

.PHONY: venv
venv:
	@tools/bootstrap.sh

.PHONY: pep8 mypy docs releasenotes packaging genconfig cover
pep8: venv ## Check style
mypy: venv ## Check types
docs: venv ## Build the documentation
releasenotes: venv ## Build the release notes
packaging: venv ## Check wheel and sdist
genconfig: venv ## Write the sample configuration
cover: venv ## Measure the unit tests' coverage
pep8 mypy docs releasenotes packaging genconfig cover:
	@$(TOX) run -e $@

.PHONY: unit functional
unit: venv ## Run the unit tests
	@$(TOX) run -e py3
functional: venv ## Run the functional tests on each supported Nova
	@$(TOX) run -e functional-nova34,functional-nova33,functional-nova31

.PHONY: clean
clean: ## Remove what the checks have made
	rm -rf .tox .venv .mypy_cache .ruff_cache .stestr build dist cover \
		doc/build releasenotes/build ./*.egg-info

-include mk/*.mk
