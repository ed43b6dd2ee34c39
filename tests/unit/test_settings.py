"""Settings: base, profile, environment, flags, in this order; what is wrong is told with its place."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from serverload.contracts.errors import SettingsError
from serverload.contracts.settings import Settings, is_local, leaves, load_settings, profile_names


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
