# SPDX-License-Identifier: Apache-2.0

.PHONY: bench-cost
bench-cost: venv ## Measure what the agent costs its host, and how soon it acts
	@$(TOX) run -q -e $@ --notest
	@.tox/$@/bin/python -m benchmarks.cost
