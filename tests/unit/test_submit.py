"""The scripts for clusters: Spark's own launcher takes their options, the program the command, settings have names.

Instead of a cluster there is a spark-submit that tells with which words it was called.
"""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import kubernetes_validate
import pyspark
import pytest
from deploy_files import DEPLOY, ROOT, documents, parsed

from serverload.store.jars import ROOTS

SCRIPTS = DEPLOY / "spark"
GUIDE = (ROOT / "docs" / "cluster.md").read_text()
SPARK_JARS = Path(pyspark.__file__).parent / "jars"
MANAGERS = {
    "standalone": {"SPARK_MASTER": "spark://host:7077"},
    "yarn": {"HADOOP_CONF_DIR": "/etc/hadoop/conf", "DEPLOY_MODE": "cluster", "ARCHIVE": "hdfs:///environment.tar.gz"},
    "kubernetes": {"SPARK_MASTER": "k8s://https://host:6443", "SPARK_IMAGE": "registry/serverload-spark:0.1.0"},
}


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def submitted(folder: Path, manager: str, *job: str, **variables: str) -> list[str]:
    """The words with which submit.sh calls spark-submit."""
    program(folder / "environment" / "bin" / "python", f'exec {sys.executable} "$@"')
    program(folder / "spark" / "bin" / "spark-submit", "printf '%s\\0' \"$@\"")
    done = subprocess.run(
        [str(SCRIPTS / "submit.sh"), manager, *job],
        env={**os.environ, "ENVIRONMENT": str(folder), "SPARK_HOME": str(folder / "spark"), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\0")[:-1]


def launched(words: list[str]) -> list[str]:
    """The words of the Java command that Spark's launcher makes of those of spark-submit."""
    command = ["java", "-Xmx64m", "-cp", f"{SPARK_JARS}/*", "org.apache.spark.launcher.Main"]
    done = subprocess.run(
        [*command, "org.apache.spark.deploy.SparkSubmit", *words],
        env={**os.environ, "SPARK_HOME": str(SPARK_JARS.parent), "SPARK_SCALA_VERSION": "2.13"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\0")


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize(
    ("job", "main"), [(("backfill", "a"), "batch/__main__.py"), (("stream",), "streaming/__main__.py")]
)
def test_spark_takes_the_options_and_the_program_the_command(
    tmp_path: Path, manager: str, job: tuple[str, ...], main: str
) -> None:
    options = {"SPARK_OPTIONS": "--executor-memory 2g --conf spark.executor.cores=2"}
    words = submitted(tmp_path, manager, *job, "--config", "cluster", **MANAGERS[manager], **options)
    told = launched(words)
    assert "--usage-error" not in told
    assert {"--master", "--deploy-mode", "--executor-memory", "spark.executor.cores=2"} <= set(told)
    assert told[told.index("--name") + 1] == f"serverload {job[0]}"
    (place,) = (number for number, word in enumerate(words) if word.endswith("__main__.py"))
    assert words[place].endswith(f"/{main}")
    command = [*(["stream"] if main.startswith("streaming") else []), *words[place + 1 :]]
    assert parsed(["serverload", *command]) == f"serverload {job[0]}"


def test_the_launcher_would_say_what_is_no_option() -> None:
    assert "--usage-error" in launched(["--archive", "x", "main.py"])


def test_executors_find_their_python_in_the_archive_and_drivers_here_unless_they_run_there(tmp_path: Path) -> None:
    here = submitted(tmp_path, "standalone", "train", **MANAGERS["standalone"])
    there = submitted(tmp_path, "yarn", "train", **MANAGERS["yarn"])
    assert f"{tmp_path}/environment.tar.gz#environment" in here
    assert "hdfs:///environment.tar.gz#environment" in there
    assert {"spark.pyspark.python=./environment/bin/python"} <= {*here} & {*there}
    assert f"spark.pyspark.driver.python={tmp_path}/environment/bin/python" in here
    assert "spark.pyspark.driver.python=./environment/bin/python" in there
    jars = here[here.index("--jars") + 1].split(",")
    assert all(Path(jar).is_file() for jar in jars)


@pytest.mark.parametrize("words", [(), ("standalone",), ("mesos", "train")])
def test_wrong_use_is_one_line_and_exit_code_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    program(tmp_path / "environment" / "bin" / "python", f'exec {sys.executable} "$@"')
    done = subprocess.run(
        [str(SCRIPTS / "submit.sh"), *words],
        env={**os.environ, "ENVIRONMENT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")


def test_the_scripts_are_clean() -> None:
    scripts = sorted(str(script) for script in DEPLOY.rglob("*.sh"))
    assert len(scripts) == 3
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_setting_of_spark_that_is_named_is_one() -> None:
    text = "".join(path.read_text() for path in SCRIPTS.iterdir()) + GUIDE
    named = set(re.findall(r"spark\.(?:pyspark|executor|executorEnv|kubernetes|yarn|sql|driver)\.[\w.]*\w", text))
    assert len(named) > 10
    known = spark_settings()
    assert {name for name in named if not is_known(name, known)} == set()
    assert not is_known("spark.executor.memry", known)
    assert not is_known("spark.kubernetes.container.imag", known)


def is_known(name: str, known: set[str]) -> bool:
    of_login = name.startswith("spark.kubernetes.authenticate.")  # their beginnings are kept without the dot
    beginning = name.rpartition(".")[0]
    return name in known or f"{beginning}." in known or (of_login and beginning in known)


def spark_settings() -> set[str]:
    """Names of settings, and beginnings of names (with a dot at the end), in the classes that hold Spark's."""
    found = set[str]()
    for jar in SPARK_JARS.glob("spark-*_2.13-*.jar"):
        with zipfile.ZipFile(jar) as classes:
            for name in classes.namelist():
                if re.search(r"(?i)(conf|constants)[^/]*\.class$|/config/package", name):
                    found |= {text.decode() for text in re.findall(rb"spark\.[\w.]+", classes.read(name))}
    return found


def test_the_guide_runs_commands_of_ours_with_jars_that_are_pinned() -> None:
    commands = re.findall(r"submit\.sh (?:standalone|yarn|kubernetes) (.+)", re.sub(r"`[^`\n]+`", "", GUIDE))
    assert len(commands) == 8
    for command in commands:
        words = [word for word in shlex.split(command) if not word.startswith("my.toml")]
        parsed(["serverload", *words, *(["cluster"] if words[-1] == "--config" else [])])
    (packages,) = re.findall(r"--packages (\S+)", GUIDE)
    assert packages.split(",") == [":".join(root) for root in ROOTS["spark"]]


def test_pods_of_drivers_and_the_bundle_of_databricks_are_what_they_should_be() -> None:
    (pod,) = documents(SCRIPTS / "kubernetes-driver.yaml")
    kubernetes_validate.validate(pod, "1.33", strict=True)
    image = re.findall(r"(?m)^FROM (\S+)", (SCRIPTS / "kubernetes.Dockerfile").read_text())
    assert [pod["spec"]["containers"][0]["image"]] == image
    assert f":{pyspark.__version__}-" in image[0]
    (bundle,) = documents(DEPLOY / "databricks" / "databricks.yml")
    tasks = [task for job in bundle["resources"]["jobs"].values() for task in job["tasks"]]
    for task in tasks:
        wheel = task["python_wheel_task"]
        assert (wheel["package_name"], wheel["entry_point"]) == ("serverload", "serverload")
        parsed(["serverload", *wheel["parameters"]])
    assert [task["task_key"] for task in tasks] == ["backfill", "train", "stream"]
