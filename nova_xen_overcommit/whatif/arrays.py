# SPDX-License-Identifier: Apache-2.0
"""Names for the arrays that a replay is made of."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
