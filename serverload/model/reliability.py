"""How far probabilities can be taken at their word: counted once in Spark, in bins, then told from the small counts."""

from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from serverload.contracts.classes import CLASSES
from serverload.contracts.classes import RELIABILITY_BINS as BINS
from serverload.model.evaluation import Cells, Floats, Integers, grouped_forecasts
from serverload.model.forecasting import PROBABILITIES


@dataclass(frozen=True)
class ReliabilityCells(Cells):
    """One entry also for each class and bin of the probability that the forecasts gave to it.

    `label` is a position in CLASSES, and `given` the sum of the probabilities; in `came` of the `rows` the class came.
    """

    label: Integers
    bin: Integers
    rows: Integers
    given: Floats
    came: Integers


@dataclass(frozen=True)
class ReliabilityBin:
    """Of one class, the forecasts whose probability for it lies in a bin: its mean, and how often the class came."""

    workload_class: str
    bin: int
    rows: int
    mean_probability: float
    share_that_came: float


def reliability_cells(forecasts: DataFrame) -> ReliabilityCells:
    """Count forecasts, columns as `score_cells` takes them, in one Spark job.

    As many cells as models x horizons x groups x 4 x 3 x 15 at most reach the driver.
    """
    of_classes = [
        sf.struct(
            sf.lit(place).cast("bigint").alias("label"),
            sf.col(given).alias("given"),
            (sf.col("label") == name).cast("bigint").alias("came"),
        )
        for place, (name, given) in enumerate(zip(CLASSES, PROBABILITIES, strict=True))
    ]
    each = forecasts.withColumn("each", sf.explode(sf.array(*of_classes)))
    # sums of floats may lie a hair outside 0 to 1
    bin_number = sf.greatest(sf.least(sf.floor(sf.col("each.given") * BINS), sf.lit(BINS - 1)), sf.lit(0)).cast(
        "bigint"
    )
    grouped = grouped_forecasts(each, sf.col("each.label").alias("label"), bin_number.alias("bin"))
    counts = (sf.count("*").alias("rows"), sf.sum("each.given").alias("given"), sf.sum("each.came").alias("came"))
    return ReliabilityCells.counted(grouped.agg(*counts))


def calibration_error(cells: ReliabilityCells) -> float:
    """Class-wise expected calibration error (ECE), nan without forecasts.

    Of each class: the mean over the forecasts of how far, in their bin of 15 equal ones, the mean probability lies from
    the share that came; then the mean over the three classes, whatever their share.
    """
    rows, given, came = _by_bin(cells)
    return float(np.abs(given - came).sum() / rows.sum()) if rows.sum() else float("nan")


def reliability_table(cells: ReliabilityCells) -> list[ReliabilityBin]:
    """The bins that hold forecasts, by class and probability."""
    rows, given, came = _by_bin(cells)
    return [
        ReliabilityBin(
            CLASSES[label], place, int(count), float(given[label, place] / count), float(came[label, place] / count)
        )
        for (label, place), count in np.ndenumerate(rows)
        if count
    ]


def _by_bin(cells: ReliabilityCells) -> tuple[Floats, Floats, Floats]:
    """Rows, summed probabilities and rows that came, by class and bin, each of shape (3, BINS)."""
    counts = np.zeros((3, len(CLASSES), BINS))
    for count, entries in zip(counts, (cells.rows, cells.given, cells.came), strict=True):
        np.add.at(count, (cells.label, cells.bin), entries)
    return counts[0], counts[1], counts[2]
