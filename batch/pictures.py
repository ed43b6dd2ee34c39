"""Pictures that go with a trained or tested model; drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from serverload.contracts.classes import CLASSES

_MOST_IMPORTANT = 25

Confusion = Sequence[Sequence[int]]


def confusion_picture(confusions: Mapping[str, Confusion], horizon_hours: int, path: Path) -> None:
    """Draw confusion matrices side by side (rows came, columns were said), each row in shares of its class."""
    figure = Figure(figsize=(4.2 * len(confusions), 4), layout="constrained")
    for axes, (name, confusion) in zip(
        figure.subplots(1, len(confusions), squeeze=False)[0], confusions.items(), strict=True
    ):
        shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for came, row in enumerate(confusion):
            for said, count in enumerate(row):
                dark = shares[came][said] > 0.5
                text = f"{count:,}\n{shares[came][said]:.1%}"
                axes.text(said, came, text, ha="center", va="center", color="white" if dark else "black")
        axes.set(title=f"{name}, {horizon_hours} h ahead", xlabel="said", ylabel="came")
        axes.set_xticks(range(len(CLASSES)), CLASSES)
        axes.set_yticks(range(len(CLASSES)), CLASSES)
    _save(figure, path)


def importances_picture(importances: Mapping[str, float], path: Path) -> None:
    """Draw the most important inputs as bars, the largest on top."""
    shown = sorted(importances.items(), key=lambda entry: entry[1])[-_MOST_IMPORTANT:]
    figure = Figure(figsize=(8, 0.8 + 0.26 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in shown], [importance for _, importance in shown])
    axes.set(title="importance of the inputs", xlabel="share of the impurity that splits on it removed")
    _save(figure, path)


def reliability_picture(bins: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw, class by class, how often it came over how probable it was said to be: on the line where that agrees.

    `bins`: rows of `model`, `workload_class`, `rows`, `mean_probability` and `share_that_came`; the more rows, the
    larger the dot.
    """
    figure = Figure(figsize=(4.2 * len(CLASSES), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(CLASSES), squeeze=False)[0], CLASSES, strict=True):
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for model in dict.fromkeys(row["model"] for row in bins):
            its = [row for row in bins if (row["model"], row["workload_class"]) == (model, name)]
            said, came = ([row[column] for row in its] for column in ("mean_probability", "share_that_came"))
            most = max((row["rows"] for row in its), default=1)
            (line,) = axes.plot(said, came, linewidth=1, label=model)
            axes.scatter(said, came, s=[4 + 60 * row["rows"] / most for row in its], color=line.get_color())
        axes.set(title=name, xlabel="probability said", ylabel="share that came", xlim=(0, 1), ylim=(0, 1))
        axes.legend()
    _save(figure, path)


def rps_picture(rps: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Draw the ranked probability score of each model over the horizon; lower is better."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, by_horizon in rps.items():
        axes.plot(list(by_horizon), list(by_horizon.values()), marker="o", label=name)
    axes.set(title="ranked probability score by horizon", xlabel="hours ahead", ylabel="RPS, lower is better")
    axes.set_ylim(bottom=0)
    axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)
