"""Who has the last word on a setting of Spark: spark-submit and the cluster's spark-defaults, never the program."""

import os

import pytest
from pyspark import SparkConf

from serverload.store.session import _prepare_launch, fill_in

LISTING = "spark.sql.sources.parallelPartitionDiscovery.parallelism"


def filled_in(*, local: bool, of_cluster: dict[str, str], **extra: str) -> dict[str, str]:
    conf = SparkConf(loadDefaults=False).setAll(list(of_cluster.items()))
    fill_in(conf, local=local, extra={key.replace("_", "."): entry for key, entry in extra.items()})
    return dict(conf.getAll())


@pytest.mark.parametrize("local", [True, False])
def test_whatever_is_set_already_stays(local: bool) -> None:
    ours = filled_in(local=local, of_cluster={})
    theirs = dict.fromkeys([*ours, "spark.executor.memory"], "theirs")
    assert filled_in(local=local, of_cluster=theirs, spark_executor_memory="9g") == theirs


def test_a_cluster_gets_no_settings_of_one_machine_but_short_listings() -> None:
    here, there = filled_in(local=True, of_cluster={}), filled_in(local=False, of_cluster={}, spark_cores_max="4")
    assert (here["spark.driver.host"], here[LISTING]) == ("127.0.0.1", "2")
    assert (there["spark.cores.max"], there[LISTING]) == ("4", "200")
    assert not {"spark.driver.host", "spark.sql.shuffle.partitions"} & set(there)


def test_java_options_of_spark_defaults_stand_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYSPARK_SUBMIT_ARGS", "PYSPARK_PYTHON", "SPARK_DRIVER_MEMORY", "POLARS_MAX_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    _prepare_launch("", "1g", [], "text")
    told = os.environ["PYSPARK_SUBMIT_ARGS"]
    assert '--conf "spark.driver.defaultJavaOptions=-Dlog4j2.configurationFile=' in told
    assert "--driver-java-options" not in told
    assert "spark.driver.extraJavaOptions" not in told
