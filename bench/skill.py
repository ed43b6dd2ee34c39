"""How good are forecasts of generated histories: beside baselines and the known truth, by noise and seed?

`python -m bench.skill [NOISE,... [SEED,...]]`: each history is generated, backfilled and backtested by the commands
that a user types. At 48 h and, for calibration and prediction sets, over all horizons. Some six minutes a history.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batch.backtest_report import ALL
from batch.tested_rows import CEILING
from batch.train import FOREST
from bench.home import Home
from bench.measuring import keep
from serverload.model.baselines import BASELINES

SERVERS, DAYS, START, CUTOFFS = 40, 100, "2016-01-01", 3
HORIZON = 48
COLUMNS = (
    *("noise", "seed", "RPS", "baseline", "ceiling", "gap closed", "macro-F1", "baseline", "gain >", "log-loss"),
    *("baseline", "gain >", "ECE", "covered", "least class", "set size", "split conformal"),
)

Row = dict[str, Any]


def reported(folder: Path, noise: str, seed: int) -> Row:
    """The report of a backtest on the history of one noise and seed."""
    home = Home(folder / "home", {"SERVERLOAD_MODEL__MAX_TRAINING_ROWS": "600000"})
    sessions, report = str(folder / "sessions"), folder / "report.json"
    size = ("--servers", str(SERVERS), "--days", str(DAYS), "--start", START)
    home.run("generate", "--out", sessions, *size, "--seed", str(seed), "--dirty", "0.01", "--noise", noise)
    home.run("backfill", sessions)
    truth = f"{sessions}/truth.parquet"
    home.run("backtest", "--truth", truth, "--cutoffs", str(CUTOFFS), "--out", str(report))
    told: Row = json.loads(report.read_text())
    return told


def figures(report: Row) -> list[float]:
    """The numbers of COLUMNS after noise and seed; a gain is the lowest end of its intervals over baselines."""
    at = {row["model"]: row for row in report["horizons"] if row["horizon_hours"] == HORIZON}
    whole = next(row for row in report["horizons"] if (row["horizon_hours"], row["model"]) == (ALL, FOREST))
    by_class = [
        row["covered"]
        for row in report["classes"]
        if (row["horizon_hours"], row["model"], row["hours"]) == (ALL, FOREST, ALL)
    ]

    def best(measure: str, better: Callable[..., float]) -> float:
        return float(better(at[name][measure] for name in BASELINES))

    def least_gain(measure: str) -> float:
        return float(min(at[name][f"{measure}_gain_low"] for name in BASELINES))

    forest = at[FOREST]
    return [
        *(forest["rps"], best("rps", min), at[CEILING]["rps"], forest["gap_closed"]),
        *(forest["macro_f1"], best("macro_f1", max), least_gain("macro_f1")),
        *(forest["log_loss"], best("log_loss", min), least_gain("log_loss")),
        *(whole["calibration_error"], whole["covered"], min(by_class)),
        *(whole["set_size"], report["split_conformal"]["set_size"]),
    ]


def main() -> None:
    """Print a row of a table for each history, and write bench/out/skill.json."""
    given = [argument.split(",") for argument in sys.argv[1:]]
    noises, seeds = (given + [["low", "medium", "high"], ["1", "2", "3"]][len(given) :])[:2]
    print("| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|")
    rows = []
    for noise in noises:
        for seed in seeds:
            with tempfile.TemporaryDirectory(prefix="bench-skill-") as scratch:
                found = figures(reported(Path(scratch), noise, int(seed)))
            rows.append([noise, int(seed), *found])
            print(f"| {noise} | {seed} | " + " | ".join(f"{number:.4f}" for number in found) + " |", flush=True)
    keep("skill", {"columns": COLUMNS, "rows": rows})


if __name__ == "__main__":
    main()
