# SPDX-License-Identifier: Apache-2.0
"""The documentation is true: its commands run, its names exist."""
