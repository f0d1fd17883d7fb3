# SPDX-License-Identifier: Apache-2.0
"""How much predictors promise, and how often hosts are short of it."""
