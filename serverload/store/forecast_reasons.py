"""Why issued forecasts say what they say: scored again from the tables, without Spark, feature by feature."""

from collections.abc import Callable

import polars as pl
import pyarrow as pa

from serverload.contracts.classes import CLASSES, SAME_PROBABILITY
from serverload.contracts.errors import InputError
from serverload.model.flat_forest import FlatForest
from serverload.model.reasons import leading_reasons, reasons
from serverload.store.server_features import stored_features

_MODEL = "model"
_KEY = ("server_ip", "issued_hour", "horizon_hours", "target_hour", "model_version", "workload_class")
_HOUR_MICROS = 3_600_000_000


def forecast_reasons(
    home: str, issued: pa.Table, flat_model: Callable[[str], FlatForest], *, retire_after_hours: int, top: int = 5
) -> pa.Table:
    """For rows of `forecasts` of one server, what made up the probability of the class that each says.

    `flat_model` gives the forest of a version. A row per forecast and reason: the base, the `top` features that moved
    it most, the others together, the calibration; their `contribution` adds up to `probability`, which is what the
    tables give now. Where that is not `issued_probability`, late data has come since, and `data_changed` is true.
    Forecasts of another basis than the model are left out. Raises InputError if that leaves none, ModelError and
    StoreError.
    """
    rows = pl.DataFrame(pl.from_arrow(issued)).filter(pl.col("basis").fill_null(_MODEL) == _MODEL)
    if rows.is_empty():
        raise InputError("no forecast there rests on the model: too little was known of the server", where="reasons")
    parts = [
        _reasons_of(home, of_version, flat_model(str(version)), retire_after_hours, top)
        for (version,), of_version in rows.group_by("model_version", maintain_order=True)
    ]
    return pl.concat(parts).sort("target_hour", maintain_order=True).to_arrow(compat_level=pl.CompatLevel.oldest())


def _reasons_of(home: str, issued: pl.DataFrame, model: FlatForest, retire_after_hours: int, top: int) -> pl.DataFrame:
    """The reasons of forecasts that one version has issued."""
    targets = issued["target_hour"].dt.epoch("us").to_numpy() // _HOUR_MICROS
    horizons = issued["horizon_hours"].cast(pl.Int64).to_numpy()
    server = issued["server_ip"][0]
    features = stored_features(home, server, targets, horizons, retire_after_hours=retire_after_hours)
    leading = leading_reasons(reasons(model, features), issued["workload_class"], top)
    said = [pl.when(pl.col("workload_class") == name).then(f"probability_{name}") for name in CLASSES]
    known = issued.with_columns(row=pl.int_range(pl.len()), issued_probability=pl.coalesce(said))
    told = leading.with_columns(probability=pl.col("contribution").sum().over("row"))
    changed = (pl.col("probability") - pl.col("issued_probability")).abs() > SAME_PROBABILITY
    return told.join(known, on="row", maintain_order="left").select(
        *_KEY, "issued_probability", "probability", changed.alias("data_changed"), "feature", "value", "contribution"
    )
