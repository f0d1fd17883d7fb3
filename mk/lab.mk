# SPDX-License-Identifier: Apache-2.0

# The lab needs root: it installs and runs servers.
LAB = $(if $(filter 0,$(shell id -u)),,sudo -E) python3 -m tests.lab

.PHONY: lab-up lab-ssh lab-status lab-down lab-demo lab-check \
	lab-reaction lab-lifecycle
lab-up: ## Bring up a real Xen host in QEMU with OpenStack beside it
	@$(LAB) up
lab-ssh: ## A shell on the Xen host
	@$(LAB) ssh
lab-status: ## Show what of the lab runs
	@$(LAB) status
lab-down: ## End the lab; leaves its cache and logs
	@$(LAB) down
lab-demo: ## Count 1 GiB instances on the real 4 GiB Xen host
	@$(LAB) demo
lab-check: ## The short run of the lab, as CI does it
	@$(LAB) check
lab-reaction: ## How soon a guest in need gets memory on the real Xen host
	@$(LAB) reaction
lab-lifecycle: ## Try every operation of Nova on each kind of Xen guest
	@$(LAB) lifecycle
