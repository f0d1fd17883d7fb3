# SPDX-License-Identifier: Apache-2.0
"""The main job on KVM's side, with real guests: ``make kvm-demo``."""
