"""Settings: base, profile, environment, flags, in this order; what is wrong is told with its place."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serverload.contracts.errors import SettingsError
from serverload.contracts.homes import is_local
from serverload.contracts.setting_types import SECRET_NAMES
from serverload.contracts.settings import Settings, leaves, load_settings, profile_names
from serverload.store.storage_options import delta_options, hadoop_options, use_storage


def test_every_shipped_profile_can_be_loaded():
    assert {"base", "local", "one-month", "full", "cluster", "azure", "debug"} <= set(profile_names())
    for name in profile_names():
        assert isinstance(load_settings(name), Settings)


def test_one_month_and_full_have_homes_of_their_own():
    assert len({load_settings(name).home for name in ("local", "one-month", "full")}) == 3


def test_later_ones_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    profile = tmp_path / "mine.toml"
    profile.write_text('[stream]\ntopic = "of-the-file"\ntrigger_seconds = 7\n')
    assert load_settings(str(profile)).stream.topic == "of-the-file"
    assert load_settings(str(profile)).stream.starting_offsets == load_settings().stream.starting_offsets
    monkeypatch.setenv("SERVERLOAD_STREAM__TOPIC", "of-the-environment")
    assert load_settings(str(profile)).stream.topic == "of-the-environment"
    both = load_settings(str(profile), {"stream": {"topic": "of-a-flag"}, "home": None})
    assert (both.stream.topic, both.stream.trigger_seconds) == ("of-a-flag", 7)


def test_texts_become_what_they_say(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVERLOAD_INGEST__ONLY_SERVERS", "10.0.0.1, 10.0.0.2")
    monkeypatch.setenv("SERVERLOAD_INGEST__CUTOVER", "2016-05-01T02:00+02:00")
    monkeypatch.setenv("SERVERLOAD_FORECAST__HORIZONS", "6,1-3")
    settings = load_settings()
    assert settings.ingest.only_servers == {"10.0.0.1", "10.0.0.2"}
    assert settings.ingest.cutover == datetime(2016, 5, 1, tzinfo=UTC)
    assert settings.forecast.horizons == (1, 2, 3, 6)
    assert settings.ingest.earliest is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[stream]\ntopik = 'x'\n", r"\[stream\] topik: no such setting"),
        ("[model]\ntrees = 'many'\n", r'\[model\] trees: expected a whole number, got "many"'),
        ("[model]\ntest_days = 0\n", r"\[model\] test_days: .*greater than or equal to 1"),
        ("[upkeep]\nretain_hours = 167\n", r"\[upkeep\] retain_hours: .*greater than or equal to 168"),
        ("[forecast]\nhorizons = '0-48'\n", r"\[forecast\] horizons: expected hours from 1 to 168"),
        ("[ingest]\nserver_pattern = '('\n", r"\[ingest\] server_pattern: expected a regular expression"),
        ("[classes]\nlow_max = 600\n", r"\[classes\]: low_max 600 is not below medium_max 500"),
        ("[stream\n", r"is not valid TOML"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, text: str, line: str):
    profile = tmp_path / "mine.toml"
    profile.write_text(text)
    with pytest.raises(SettingsError, match=line) as failure:
        load_settings(str(profile))
    assert str(profile) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVERLOAD_MODEL__DEPTH", "31")
    with pytest.raises(SettingsError, match="environment SERVERLOAD_MODEL__DEPTH"):
        load_settings()


def test_an_unknown_profile_is_answered_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"no profile or file 'lokal'; use one of .*local"):
        load_settings("lokal")


def test_homes_are_absolute_folders_or_addresses():
    assert Path(load_settings(flags={"home": "here"}).home).is_absolute()
    cloud = load_settings(flags={"home": "abfss://data@account.dfs.core.windows.net/home/"}).home
    assert cloud == "abfss://data@account.dfs.core.windows.net/home"
    assert not is_local(cloud)


def test_every_setting_is_listed_once():
    names = [name for name, _value in leaves(load_settings())]
    assert {"home", "ingest.max_ahead_minutes", "stream.topic", "model.trees"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("home", "storage", "line"),
    [
        ("s3a://b/home", {}, "[storage] s3_commits: S3 lets one job's commit replace another's; set it to one-writer"),
        ("s3://b/home", {"s3_commits": "one-writer"}, "home: tables cannot be kept at s3://; use s3a://, hdfs:// or"),
        ("abfs://c@a/home", {}, "home: tables cannot be kept at abfs://; use abfss://"),
        ("wasbs://c@a.blob.core.windows.net/home", {}, "home: wasbs is retired by Azure; use abfss://CONTAINER@"),
        (
            "home",
            {"s3_access_key": "id"},
            "[storage] s3_secret_key: is needed beside the other; set SERVERLOAD_",
        ),
        ("home", {"s3_endpoint": "minio:9000"}, "[storage] s3_endpoint: expected http://HOST:PORT or https://HOST"),
    ],
)
def test_storage_that_would_lose_data_or_not_be_found_is_refused(home: str, storage: dict[str, str], line: str):
    with pytest.raises(SettingsError) as refused:
        load_settings(flags={"home": home, "storage": storage})
    assert str(refused.value).startswith(f"conf/local.toml {line}")


def test_settings_of_storage_become_those_of_spark_and_deltalake_only_for_a_home_in_a_store():
    keys = {"s3_access_key": "id", "s3_secret_key": "hidden", "s3_endpoint": "http://127.0.0.1:9000"}
    storage = load_settings(flags={"storage": {**keys, "s3_commits": "dynamodb", "azure_account_key": "a="}}).storage
    spark = hadoop_options(storage, "s3a://bucket/home")
    assert spark["spark.hadoop.fs.s3a.secret.key"] == "hidden"
    assert spark["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert spark["spark.delta.logStore.s3a.impl"] == "io.delta.storage.S3DynamoDBLogStore"
    assert hadoop_options(storage, "abfss://c@fleet.dfs.core.windows.net/home") == {
        "spark.hadoop.fs.azure.account.key.fleet.dfs.core.windows.net": "a="
    }
    assert hadoop_options(storage, "/home") == hadoop_options(storage, "hdfs:///home") == {}
    assert all(re.search(SECRET_NAMES, name) for name, entry in spark.items() if entry in ("id", "hidden"))
    use_storage(storage)
    assert delta_options("s3a://bucket/home") == {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_ALLOW_HTTP": "true",
    }
    assert delta_options("/home") == {}


def test_bounds_of_classes_are_told_apart_however_close() -> None:
    bounds = load_settings(flags={"classes": {"low_max": 100, "medium_max": 1_234_567.25}}).classes.facts()
    assert bounds == {"low_max": "100", "medium_max": "1234567.25"}
