# SPDX-License-Identifier: Apache-2.0

DEMO_OUTPUT ?= demo-output

.PHONY: kvm-demo kvm-check
kvm-demo: ## Show twice as many 512 MiB guests of QEMU on 2 GiB, as root
	@demo/bootstrap.sh
	@.venv-demo/bin/python -m demo.kvm $(DEMO_OUTPUT)

kvm-check: venv ## Balance real QEMU guests, as CI does it (as root)
	@$(TOX) run -e kvm
