"""docs/querying.md: each piece of Python runs on a small home and prints what the page says."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from trained_home import TrainedHome

PAGE = Path(__file__).parents[2] / "docs" / "querying.md"
PIECES = re.findall(r"## ([^\n]+)\n|```python\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)


def pieces() -> list[object]:
    """Code and output of each, named by the heading above it."""
    heading, found = "", list[object]()
    for title, code, output in PIECES:
        heading = title or heading
        if code:
            found.append(pytest.param(code, output, id=f"{heading} {len(found)}"))
    return found


@pytest.mark.parametrize(("code", "output"), pieces())
def test_a_piece_prints_what_the_page_says(spark: SparkSession, trained: TrainedHome, code: str, output: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, str(PAGE), "exec"), {"home": str(trained.folder)})
    assert [line.rstrip() for line in printed.getvalue().strip("\n").splitlines()] == output.strip("\n").splitlines()


def test_every_way_is_shown() -> None:
    assert {str(piece.id).rpartition(" ")[0] for piece in pieces()} >= {"Spark SQL", "DuckDB", "Polars", "pandas"}  # type: ignore[attr-defined]
