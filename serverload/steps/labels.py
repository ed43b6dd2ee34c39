"""The class of an hour's peak load, told by whole millionths so that it never depends on how a sum was added."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES, MICROS


def class_index(peak_load: NDArray[np.float64], *, low_max: float, medium_max: float) -> NDArray[np.int8]:
    """Position in CLASSES of each load: low <= low_max < medium <= medium_max < high; -1 where it is NaN.

    Loads and thresholds in load units, compared in micros, rounded half even.
    """
    micros = np.rint(peak_load * MICROS)
    above = (micros > np.rint(low_max * MICROS)).astype(np.int8) + (micros > np.rint(medium_max * MICROS))
    return np.where(np.isnan(micros), -1, above).astype(np.int8)


def workload_class(peak_load: NDArray[np.float64], *, low_max: float, medium_max: float) -> pl.Series:
    """Name of each load's class, as `class_index` tells it; null where the load is NaN."""
    index = pl.Series("workload_class", class_index(peak_load, low_max=low_max, medium_max=medium_max))
    return index.replace_strict({-1: None, **dict(enumerate(CLASSES))}, return_dtype=pl.String)
