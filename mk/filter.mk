# SPDX-License-Identifier: Apache-2.0

.PHONY: bench-filter
bench-filter: venv ## Measure what the filter costs nova-scheduler; HOSTS=n
	@$(TOX) run -e bench-filter -- --hosts $(or $(HOSTS),1000)
