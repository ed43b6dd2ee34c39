"""What a backtest leaves in its MLflow run: metrics per horizon, pictures, and the whole report."""

import math
from collections.abc import Mapping
from typing import Any

from batch.backtest_report import ALL, GAINS, MEASURES, Report
from batch.pictures import confusion_picture, reliability_picture, rps_picture
from batch.tested_rows import CEILING
from batch.train import FOREST
from serverload.model.baselines import CLIMATOLOGY
from serverload.store.runs import JobRun

REPORT_FILE = "backtest.json"
_OF_ALL = (
    *MEASURES,
    "calibration_error",
    "gap_closed",
    *(f"{name}_gain_{end}" for name in GAINS for end in ("low", "high")),
)


def note_report(run: JobRun, report: Report, facts: Mapping[str, Any]) -> None:
    """Note metrics, pictures and the report; of the baselines and the ceiling fewer metrics than of the forest."""
    overall = next(row for row in report.horizons if (row["model"], row["horizon_hours"]) == (FOREST, ALL))
    run.note_key_metrics(_numbers({f"all_{name}": overall[name] for name in ("macro_f1", "rps", "gap_closed")}))
    run.note_metrics({name: number for row in report.horizons for name, number in _metrics(row).items()})
    run.note_facts({"cutoffs": ",".join(facts["cutoffs"]), "step_days": str(facts["step_days"])})
    _keep_pictures(run, report)
    run.keep_file(REPORT_FILE, lambda path: report.save(path, facts))


def _keep_pictures(run: JobRun, report: Report) -> None:
    farthest = max(row["horizon_hours"] for row in report.horizons if row["horizon_hours"] != ALL)
    shown = {
        row["model"]: row["confusion"]
        for row in report.confusions
        if row["horizon_hours"] == farthest and row["model"] in (FOREST, CLIMATOLOGY, CEILING)
    }
    rps: dict[str, dict[int, float]] = {}
    for row in report.horizons:
        if row["horizon_hours"] != ALL:
            rps.setdefault(row["model"], {})[row["horizon_hours"]] = row["rps"]
    reliable = [row for row in report.reliability if row["model"] in (FOREST, CLIMATOLOGY)]
    run.keep_file("confusion_matrix.png", lambda path: confusion_picture(shown, farthest, path))
    run.keep_file("reliability.png", lambda path: reliability_picture(reliable, path))
    run.keep_file("rps_by_horizon.png", lambda path: rps_picture(rps, path))


def _metrics(row: Mapping[str, object]) -> dict[str, float]:
    """The numbers of one model at one horizon by their MLflow names, as `train` names them."""
    horizon, model = row["horizon_hours"], str(row["model"])
    prefix = "all_" if horizon == ALL else f"h{horizon}_"
    if model == FOREST:
        return _numbers(
            {f"{prefix}{name}": number for name, number in row.items() if name not in ("horizon_hours", "model")}
        )
    return _numbers({f"{prefix}{model.replace(' ', '_')}_{name}": row[name] for name in _OF_ALL})


def _numbers(told: Mapping[str, object]) -> dict[str, float]:
    """Those that can be told."""
    return {name: float(each) for name, each in told.items() if isinstance(each, int | float) and not math.isnan(each)}
