"""All measurements, one after the other: `python -m bench quick|full`; what they print goes to bench/out/results.md."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.measuring import OUT

QUICK = ("backfill", "memory", "backlog", "producer", "commands", "serve", "guard")
FULL = ("backfill full", *QUICK[1:], "training", "latency", "upkeep", "plan 150 medium truth", "debug", "scaling")
PARTS = ("serverload", "pyspark", "delta-spark", "duckdb", "polars", "pyarrow", "numpy")


def machine() -> str:
    """What all of it ran on."""
    kinds = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.partition("\n")[0]
    parts = ", ".join(f"{name} {version(name)}" for name in PARTS)
    return (
        f"{len(kinds)} cores ({kinds[0] if kinds else platform.processor()}), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {java}; {parts}"
    )


def told(command: str) -> str:
    """Run one, show what it prints as it comes, and give it as a section."""
    print(f"== bench.{command}", flush=True)
    name, *arguments = command.split()
    running = subprocess.Popen([sys.executable, "-m", f"bench.{name}", *arguments], stdout=subprocess.PIPE, text=True)
    assert running.stdout
    lines = []
    for line in running.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if running.wait():
        lines.append(f"ended with exit code {running.returncode}\n")
    return f"## bench.{command}\n```\n{''.join(lines)}```\n"


def main() -> int:
    """Run them; exit code 1 where one has failed."""
    which = {"quick": QUICK, "full": FULL}.get(" ".join(sys.argv[1:]))
    if which is None:
        print("usage: python -m bench quick|full", file=sys.stderr)
        return 2
    sections = [told(command) for command in which]
    OUT.mkdir(exist_ok=True)
    head = f"# Measured on {datetime.now(UTC):%Y-%m-%d}\n\n{machine()}\n\n"
    (OUT / "results.md").write_text(head + "\n".join(sections))
    return int(any("ended with exit code" in section for section in sections))


if __name__ == "__main__":
    sys.exit(main())
