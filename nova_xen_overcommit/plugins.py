# SPDX-License-Identifier: Apache-2.0
"""Loads what may be added from outside, and needs no hypervisor."""

import importlib.metadata

from stevedore import driver

from nova_xen_overcommit import exception
from nova_xen_overcommit.policy.predictors import Predictor

PREDICTORS = "nova_xen_overcommit.predictors"


def load_predictor(name: str, risk: float) -> Predictor:
    """Load a predictor by name; ``risk`` is a share of host-time.

    :raises InvalidConfiguration: there is none of that name, or it doesn't
        load.
    """
    known = sorted(importlib.metadata.entry_points(group=PREDICTORS).names)
    if name not in known:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] predictor: there is no {name!r}, only "
            f"{', '.join(known)}"
        )
    try:
        manager = driver.DriverManager(
            PREDICTORS,
            name,
            invoke_on_load=True,
            invoke_kwds={"risk": risk},
            warn_on_missing_entrypoint=False,
        )
    except RuntimeError as error:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] predictor: {error}"
        ) from error
    loaded: Predictor = manager.driver
    return loaded
