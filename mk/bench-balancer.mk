# SPDX-License-Identifier: Apache-2.0

SEED ?= 1
DRAWS ?= 5
BENCH_BALANCER_PLOT ?= bench-balancer.png

.PHONY: bench-balancer
bench-balancer: venv ## Compare balancers in the simulator; TRACE=FILE.npz adds a real trace
	@$(TOX) run -q -e $@ --notest
	@.tox/$@/bin/python -m benchmarks.balancer --seed $(SEED) --draws $(DRAWS) \
		--plot "$(abspath $(BENCH_BALANCER_PLOT))" \
		$(if $(TRACE),--trace "$(abspath $(TRACE))")
