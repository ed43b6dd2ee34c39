"""The login to a broker: what is refused at once, where secrets may come from, and that nothing shows them."""

import sys
import traceback
from pathlib import Path

import pytest

from serverload.cli import app
from serverload.contracts.errors import SettingsError
from serverload.contracts.settings import load_settings

SECRET = "hunter2-never-shown"
SCRAM = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", "username": "u", "password": SECRET}


def profile_of(folder: Path, **section: str) -> str:
    profile = folder / "mine.toml"
    profile.write_text("[kafka]\n" + "".join(f"{key} = '{entry}'\n" for key, entry in section.items()))
    return str(profile)


def refused(config: str = "local", **kafka: str) -> str:
    """The one line, after a look at the whole stack as --debug shows it."""
    with pytest.raises(SettingsError) as failure:
        load_settings(config, {"kafka": kafka} if kafka else None)
    line = str(failure.value)
    assert "\n" not in line
    assert SECRET not in "".join(traceback.format_exception(failure.value))
    return line


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"username": ""}, "[kafka] username: is needed with security_protocol SASL_SSL; see conf/base.toml"),
        ({"sasl_mechanism": ""}, "[kafka] sasl_mechanism: is needed with security_protocol SASL_SSL"),
        (
            {"password": ""},
            "[kafka] password: is needed with security_protocol SASL_SSL; set SERVERLOAD_KAFKA__PASSWORD",
        ),
        ({"security_protocol": "SSL"}, "[kafka] sasl_mechanism: has no use with security_protocol SSL"),
        ({"ca_file": "/nowhere/ca.pem"}, "[kafka] ca_file: no file /nowhere/ca.pem"),
        ({"certificate_file": __file__}, "[kafka] key_file: is needed with certificate_file"),
        ({"key_file": __file__}, "[kafka] certificate_file: is needed with key_file"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "ca_file": __file__},
            "[kafka] ca_file: has no use with security_protocol SASL_PLAINTEXT",
        ),
        ({"sasl_mechanism": "GSSAPI"}, "[kafka] sasl_mechanism: Input should be '', 'PLAIN', 'SCRAM-SHA-256'"),
    ],
)
def test_a_login_that_cannot_work_is_one_line_with_its_place(changed: dict[str, str], line: str):
    assert refused(**SCRAM | changed).startswith(f"conf/local.toml {line}")


def test_a_complete_login_is_taken():
    kafka = load_settings(flags={"kafka": SCRAM}).kafka
    assert (kafka.username, kafka.password.get_secret_value()) == ("u", SECRET)


def test_a_secret_in_a_profile_is_refused(tmp_path: Path):
    for key in ("password", "key_password"):
        profile = profile_of(tmp_path, **{key: SECRET})
        variable = f"SERVERLOAD_KAFKA__{key.upper()}"
        assert refused(profile) == (
            f"{profile} [kafka] {key}: a secret has no place in this file; "
            f"set {variable} or a file of that name in the folder SERVERLOAD_SECRETS_DIR"
        )


def test_secrets_come_from_the_environment_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    profile = profile_of(tmp_path, security_protocol="SASL_SSL", sasl_mechanism="PLAIN", username="u")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "SERVERLOAD_KAFKA__PASSWORD").write_text("of the file\n")
    monkeypatch.setenv("SERVERLOAD_SECRETS_DIR", str(secrets))
    assert load_settings(profile).kafka.password.get_secret_value() == "of the file"
    monkeypatch.setenv("SERVERLOAD_KAFKA__PASSWORD", "of the environment")
    assert load_settings(profile).kafka.password.get_secret_value() == "of the environment"


def test_a_folder_of_secrets_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVERLOAD_SECRETS_DIR", str(tmp_path / "absent"))
    assert refused() == (
        f'environment or secret files: directory "{tmp_path}/absent" does not exist; see docs/settings.md'
    )


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("SERVERLOAD_KAFKA__PASWORD", SECRET),
        ("SERVERLOAD_KAFKA", SECRET),
        ("SERVERLOAD_KAFKA", f'["{SECRET}"]'),
        ("SERVERLOAD_KAFKA__PASSWORD__X", SECRET),
    ],
)
def test_a_misplaced_secret_is_not_quoted(variable: str, given: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, given)
    assert refused()


def test_a_secret_of_a_profile_that_is_not_in_use_does_no_harm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVERLOAD_KAFKA__PASSWORD", SECRET)
    assert load_settings().kafka.security_protocol == "PLAINTEXT"


def test_config_show_hides_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    profile = tmp_path / "mine.toml"
    profile.write_text(
        "[kafka]\nsecurity_protocol = 'SASL_SSL'\nsasl_mechanism = 'PLAIN'\nusername = 'the-user'\n"
        f"[spark.settings]\n'spark.hadoop.fs.azure.account.key.x' = '{SECRET}'\n'spark.ui.port' = '4050'\n"
    )
    monkeypatch.setenv("SERVERLOAD_KAFKA__PASSWORD", SECRET)
    for form in ("table", "csv", "json"):
        app(["config", "show", "--config", str(profile), "--format", form], standalone_mode=False)
        shown = capsys.readouterr().out
        assert SECRET not in shown
        assert "**********" in shown
        assert "the-user" in shown
        assert "4050" in shown
    assert SECRET not in " ".join(sys.argv)
