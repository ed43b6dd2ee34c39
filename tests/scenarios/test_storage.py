"""Files in stores: three ways to read the same bytes, and backfills of S3 and of what only Hadoop reaches.

The S3 store is moto's server, asked over HTTP by s3fs; Hadoop's is a viewfs over a local folder.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import s3fs
from deltalake import write_deltalake
from moto.server import ThreadedMotoServer
from pyspark.sql import DataFrame, SparkSession

from batch.backfill import backfill
from batch.history_files import HistoryFile, history_files
from batch.history_rows import range_rows, text_rows
from batch.verify import history_checks
from producers.synthetic import generate_history
from serverload.contracts.errors import InputError
from serverload.contracts.progress import Silent
from serverload.contracts.settings import Settings, load_settings
from serverload.steps.event_kernel import LineCounts, LineRules
from serverload.steps.ingest_rows import COUNT, REJECT, WINDOW, unpacked, unpacked_counts, unpacked_rejects
from serverload.steps.windows import add_partials
from serverload.store.byte_ranges import ranges_of
from serverload.store.delta_tables import DeltaTables
from serverload.store.file_openers import FileOpener
from serverload.store.home_snapshot import HomeSnapshot
from serverload.store.storage_options import delta_options, fsspec_options, use_storage
from serverload.store.table_reader import run_sql

RULES = LineRules(source="history", batch_time=datetime(2026, 1, 1, tzinfo=UTC))
SESSION = b"2016-06-01 00:0%d:00,2016-06-01 00:09:00,1,2.5,3,1,0,1,2,3,4,5,6,%d.25,10.0.0.9,10.0.0.%d"
ADVERSARIAL = b"".join(
    (
        b"\xef\xbb\xbf" + SESSION % (1, 10, 1) + b"\r\n",
        b"\n\r\n \t\x0b\x0c\n",
        SESSION % (2, 20, 2) + b"\r\r\n",
        SESSION % (3, 30, 1) + b"\r" + SESSION % (3, 31, 1) + b"\n",
        "a line with \u2028 \u0085 and \x00 in it\n".encode(),
        b"\xff\xfe no UTF-8 \xc3\n",
        b"SessionStart,SessionEnd," + b"," * 13 + b"\n",
        b"x" * 3000 + b"\n",
        b'{"SessionStart": "2016-06-01 00:04:00", "ServerIP": "10.0.0.3", "TotalLoad": "7"}\n',
        *(SESSION % (number % 10, number, number % 7) + b"\n" for number in range(60)),
        SESSION % (5, 50, 5),
    )
)


class Read(NamedTuple):
    """What came of the lines; `refused` are (line, reason)."""

    counts: LineCounts
    windows: list[dict[str, Any]]
    refused: list[tuple[str, str]]
    origins: list[str]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 store."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def opener(endpoint: str) -> FileOpener:
    """Opens files of the store."""
    return FileOpener(fsspec_options(settings_at(endpoint).storage))


def settings_at(endpoint: str) -> Settings:
    keys = {"s3_access_key": "key-id", "s3_secret_key": "s3cret-of-the-tests"}
    return load_settings(flags={"storage": {"s3_endpoint": endpoint, "s3_region": "eu-north-1", **keys}})


def put(opener: FileOpener, files: dict[str, bytes]) -> s3fs.S3FileSystem:
    store: s3fs.S3FileSystem = opener.file_system("s3://history/")
    if not store.exists("history"):
        store.mkdir("history")
    for name, content in files.items():
        store.pipe_file(f"history/{name}", content)
    return store


def read(rows: DataFrame) -> Read:
    packed = rows.toArrow()
    kinds = packed["kind"].to_pylist()
    of = {kind: packed.filter(pa.array([each == kind for each in kinds])) for kind in (WINDOW, REJECT, COUNT)}
    windows = add_partials([unpacked(value.as_buffer()) for value in of[WINDOW]["packed"]])
    refused = [row for batch in unpacked_rejects(of[REJECT].to_batches()) for row in batch.to_pylist()]
    return Read(
        unpacked_counts(value.as_buffer() for value in of[COUNT]["packed"]),
        windows.sort_by([("server_ip", "ascending"), ("window_start", "ascending")]).to_pylist(),
        sorted((row["line"], row["reason"]) for row in refused),
        sorted(row["origin"].rpartition("/")[2] for row in refused),
    )


@pytest.mark.parametrize("packed", [False, True])
def test_local_files_a_store_and_text_lines_give_the_same(
    spark: SparkSession, opener: FileOpener, tmp_path: Path, packed: bool
) -> None:
    name, content = ("a.csv.gz", gzip.compress(ADVERSARIAL)) if packed else ("a.csv", ADVERSARIAL)
    (tmp_path / name).write_bytes(content)
    put(opener, {f"adversarial/{name}": content})
    found = []
    for uri in (f"file://{tmp_path}/{name}", f"s3a://history/adversarial/{name}"):
        tasks = [[part] for part in ranges_of(uri, len(content), 1500)]
        assert len(tasks) == 1 if packed else len(tasks) > 5
        found.append(read(range_rows(spark, tasks, RULES, 4, opener)))
    of_text = read(text_rows(spark, [f"file://{tmp_path}/{name}"], RULES, 4))
    assert found[0] == found[1]
    assert found[0][:3] == of_text[:3]
    counts = found[0].counts
    assert (counts.read, counts.accepted) == (69, 64)
    assert counts.rejected_by_reason == {"columns": 3, "encoding": 1, "header": 1}
    assert set(of_text.origins) == {name}


class Near(NamedTuple):
    """A folder of dirty sessions, and the window sums of a backfill of it."""

    folder: Path
    counts: LineCounts
    sums: Sequence[dict[str, Any]]


@pytest.fixture(scope="module")
def near(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Near:
    root = tmp_path_factory.mktemp("near")
    generate_history(root / "csv", servers=2, days=1, start=date(2016, 5, 1), seed=3, dirty=0.05)
    (day,) = (root / "csv").rglob("*.csv")
    (root / "csv" / "more.csv.gz").write_bytes(gzip.compress(day.read_bytes()))
    (root / "csv" / "a[b]{c}.csv").write_bytes(ADVERSARIAL)
    tables = DeltaTables(spark, str(root / "home"))
    done = backfill(tables, load_settings().ingest, [str(root / "csv")], Silent())
    return Near(root / "csv", done.counts, sums(tables))


def test_a_backfill_of_s3_is_that_of_the_same_local_files(
    spark: SparkSession, opener: FileOpener, near: Near, tmp_path: Path
) -> None:
    files = [file for file in near.folder.rglob("*") if file.suffix in (".csv", ".gz")]
    contents = {f"fleet/{file.relative_to(near.folder)}": file.read_bytes() for file in files}
    contents |= {"fleet/_half.csv": b"half written", "fleet/.hidden/a.csv": b"hidden", "fleet/notes.txt": b"none"}
    store, tables, ingest = put(opener, contents), DeltaTables(spark, str(tmp_path)), load_settings().ingest
    done = backfill(tables, ingest, ["s3://history/fleet"], Silent(), opener=opener)
    assert (done.files, done.counts, sums(tables)) == (3, near.counts, near.sums)
    again = backfill(tables, ingest, ["s3a://history/fl*/", "s3://history/fleet/more.csv.gz"], Silent(), opener=opener)
    assert (again.files, again.known_files) == (0, 3)
    checks = list(history_checks(HomeSnapshot(tables), ingest, Silent(), opener))
    assert [check for check in checks if check.differing or check.unchecked] == []
    store.pipe_file("history/fleet/a[b]{c}.csv", ADVERSARIAL[1:])
    with pytest.raises(InputError, match=r"^s3a://history/fleet/a\[b\]{c}\.csv: changed since it was ingested"):
        backfill(tables, ingest, ["s3://history/fleet"], Silent(), opener=opener)


def test_a_backfill_of_what_only_hadoop_reaches_is_that_of_the_same_local_files(
    spark: SparkSession, near: Near, tmp_path: Path
) -> None:
    link_viewfs(spark, "tests", near.folder)
    tables, ingest = DeltaTables(spark, str(tmp_path)), load_settings().ingest
    done = backfill(tables, ingest, ["viewfs://tests/data"], Silent())
    assert (done.files, done.counts, sums(tables)) == (3, near.counts, near.sums)
    assert backfill(tables, ingest, ["viewfs://tests/d*/"], Silent()).known_files == 3
    told = [check.unchecked for check in history_checks(HomeSnapshot(tables), ingest, Silent()) if check.unchecked]
    assert "has no byte ranges" in told[0]


def test_paths_of_hadoop_that_hold_nothing_to_read_are_told(spark: SparkSession, tmp_path: Path) -> None:
    link_viewfs(spark, "others", tmp_path)
    (tmp_path / "_half.csv").write_bytes(b"half written")
    with pytest.raises(InputError, match=r"_half\.csv: Spark passes over files whose names begin with"):
        history_files(["viewfs://others/data/_half.csv"], spark=spark)
    with pytest.raises(InputError, match=r"^viewfs://others/data/none: no files there"):
        history_files(["viewfs://others/data/none"], spark=spark)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("s3://nobodys/x.csv", "s3://nobodys/x.csv: cannot be read: no such file or bucket; check [storage] and its"),
        ("s3://history/none*", "s3://history/none*: no files there; give folders"),
        ("wasbs://c@a.blob.core.windows.net/x", "wasbs is retired by Azure; use abfss://"),
    ],
)
def test_what_cannot_be_read_is_one_line(opener: FileOpener, path: str, line: str) -> None:
    put(opener, {})
    with pytest.raises(InputError) as refused:
        history_files([path], opener)
    assert line in str(refused.value)


def test_a_store_that_does_not_answer_is_one_line_without_its_key() -> None:
    nowhere = FileOpener(fsspec_options(settings_at("http://127.0.0.1:1").storage))
    with pytest.raises(InputError, match=r"^s3://history/a\.csv: cannot be read: \w+; check \[storage\]") as refused:
        history_files(["s3://history/a.csv"], nowhere)
    assert "s3cret" not in f"{refused.value} {nowhere}"


def sums(tables: DeltaTables) -> Sequence[dict[str, Any]]:
    return run_sql(
        tables.home,
        "select server_ip, window_start, sum(sessions) as sessions, sum(total_load) as total_load,"
        " sum(secure_bytes_load) as secure_bytes_load from load_windows group by all order by all",
    ).to_pylist()


def link_viewfs(spark: SparkSession, cluster: str, folder: Path) -> None:
    """Make `viewfs://<cluster>/data` the folder."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()  # type: ignore[union-attr]
    hadoop.set(f"fs.viewfs.mounttable.{cluster}.link./data", folder.as_uri())


def test_addresses_of_the_history_are_the_same_whatever_path_led_to_them(opener: FileOpener) -> None:
    put(opener, {"same/a.csv": b"x\n"})
    one = [HistoryFile("s3a://history/same/a.csv", 2, "401b30e3b8b5d629635a5c613cdb7919")]
    for path in ("s3://history/same/a.csv", "s3a://history/same", "s3a://history/same/*.csv"):
        assert history_files([path], opener) == one


def test_tables_of_a_home_in_a_store_are_read_without_spark(opener: FileOpener, endpoint: str) -> None:
    put(opener, {})
    use_storage(settings_at(endpoint).storage)
    home = "s3a://history/home"
    write_deltalake(f"{home}/tables/rejects", pa.table({"line": ["x"]}), storage_options=delta_options(home))
    assert run_sql(home, "select line from rejects").to_pylist() == [{"line": "x"}]
