"""The fit of the forest beside scikit-learn's, on the same rows, inputs and cores, and what the preparation costs.

`python -m bench.training [ROWS]`
"""

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from pyspark.ml import Pipeline
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F
from sklearn.ensemble import RandomForestClassifier

from batch.fitting import fitted_forest
from batch.train_data import sampled
from bench.measuring import keep, seconds
from bench.scaling_runs import Size, history_row, settings_for
from serverload.model.pipeline import INPUTS, LABEL_INDEX, forest_pipeline
from serverload.store.delta_tables import DeltaTables
from serverload.store.jars import spark_jars
from serverload.store.session import spark_session

SIZE = Size(servers=150, days=60, sessions_per_hour=4.0)


def main() -> None:
    """Print the seconds of each, and write bench/out/training.json."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "events").mkdir()
        spark = spark_session("bench", jars=spark_jars(), driver_memory="6g")
        home = history_row(spark, scratch, SIZE).home
        settings = settings_for(home, max_training_rows=rows).model
        features = DeltaTables(spark, str(home)).read("features").where("label is not null")
        taken = {"warm-up": seconds(partial(fitted_forest, features.limit(20_000), settings, calendar_position=False))}
        chosen = sampled(features, settings).persist()
        count = chosen.count()
        forest = forest_pipeline(
            settings.feature_set, trees=settings.trees, depth=settings.depth, seed=settings.seed,
            min_rows_per_leaf=settings.min_rows_per_leaf, feature_subset=settings.feature_subset,
            calendar_position=False,
        )  # fmt: skip
        preparation = Pipeline(stages=forest.getStages()[:-1])
        taken["preparation"] = seconds(lambda: preparation.fit(chosen))
        taken["preparation and forest"] = seconds(lambda: forest.fit(chosen))
        prepared = preparation.fit(chosen).transform(chosen)
        local = prepared.select(vector_to_array(F.col(INPUTS), "float32").alias("inputs"), LABEL_INDEX).toArrow()
        width = len(local["inputs"][0])
        inputs = local["inputs"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        labels = local[LABEL_INDEX].to_numpy().astype(np.int64)
        spark.stop()
        theirs = RandomForestClassifier(
            settings.trees, max_depth=settings.depth, min_samples_leaf=settings.min_rows_per_leaf, max_features=1 / 3,
            random_state=settings.seed, n_jobs=os.cpu_count(),
        )  # fmt: skip
        taken["scikit-learn's forest"] = seconds(lambda: theirs.fit(inputs, labels))
    print(f"{count:,} rows, {width} inputs, {settings.trees} trees of depth {settings.depth}")
    for name, took in taken.items():
        print(f"  {name:24} {took:7.1f} s {took / count * 1e6:8.1f} s a million rows")
    share = taken["preparation"] / (taken["preparation and forest"] - taken["preparation"])
    print(f"preparation beside the fit of the forest: {share:.2f}")
    keep("training", {"rows": count, "seconds": taken})


if __name__ == "__main__":
    main()
