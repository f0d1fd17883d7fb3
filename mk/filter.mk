# SPDX-License-Identifier: Apache-2.0

.PHONY: bench-filter
bench-filter: HOSTS ?= 1000
bench-filter: venv ## Measure what the filter costs nova-scheduler; HOSTS=n
	@$(TOX) run -q -e $@ --notest
	@.tox/$@/bin/python -m benchmarks.filter --hosts $(HOSTS)
