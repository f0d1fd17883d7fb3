# SPDX-License-Identifier: Apache-2.0

SEED ?= 1
BENCH_PROMISE_PLOT ?= bench-promise.png

.PHONY: bench-promise
bench-promise: venv ## Compare predictors on TRACE=FILE.npz; GUESTS=n, HOSTS=n, ARRAY=name
	@test -n "$(TRACE)" || { echo "Say TRACE=FILE.npz" >&2; exit 2; }
	@$(TOX) run -q -e $@ --notest
	@.tox/$@/bin/python -m benchmarks.promise --seed $(SEED) \
		--trace "$(if $(filter synthetic:%,$(TRACE)),$(TRACE),$(abspath $(TRACE)))" \
		$(if $(GUESTS),--guests $(GUESTS)) \
		$(if $(HOSTS),--hosts $(HOSTS)) \
		$(if $(ARRAY),--array $(ARRAY)) \
		--plot "$(abspath $(BENCH_PROMISE_PLOT))"
