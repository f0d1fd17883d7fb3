# SPDX-License-Identifier: Apache-2.0
"""Passes without end in worlds that go wrong; run by ``make soak``."""
