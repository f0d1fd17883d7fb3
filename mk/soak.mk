# SPDX-License-Identifier: Apache-2.0

SEED ?= 1
PASSES ?= 1000000

.PHONY: soak
soak: venv ## Soak the balancer in a faulty world; WORLD=n plays one again
	@$(TOX) run -q -e $@ --notest
	@.tox/$@/bin/python -m benchmarks.soak --seed $(SEED) --passes $(PASSES) \
		$(if $(WORLD),--world $(WORLD))
