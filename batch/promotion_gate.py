"""The promotion gate: from scores on the same days to checks that hold or do not; knows no Spark and no registry."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from serverload.contracts.classes import CLASSES
from serverload.contracts.promotion_settings import PromotionSettings
from serverload.model.evaluation import Gain, Scores

_HIGH = CLASSES.index("high")
_ROUNDING = 1e-9
"""The same losses, added up in another order, may differ by less than this: a model is not better than itself."""


@dataclass(frozen=True)
class Standing:
    """A model on the days that are judged, over all horizons, and its gain in RPS over each baseline.

    `rps_by_horizon`: the RPS at each horizon (h) alone.
    """

    scores: Scores
    over_baselines: Mapping[str, Gain]
    rps_by_horizon: Mapping[int, float]


@dataclass(frozen=True)
class Judgement:
    """What was found on days (whole, `start .. end`) that neither model has seen in training, all of the same rows.

    `challenger` is None where the days are too few to look at; `champion` and the challenger's gain in RPS over it
    where there is no champion. A gain is above 0 where the challenger is better; its interval holds 95 %.
    """

    days: int
    rows: int
    start: datetime
    end: datetime
    challenger: Standing | None = None
    champion: Standing | None = None
    over_champion: Gain | None = None


@dataclass(frozen=True)
class Check:
    """One condition: what challenger and champion reach, what is asked of the challenger, and whether it holds."""

    check: str
    challenger: str
    champion: str
    bound: str
    ok: bool

    def row(self) -> dict[str, object]:
        """The check as plain values, for the command line."""
        return asdict(self) | {"ok": "ok" if self.ok else "NO"}


def checks_of(found: Judgement, bounds: PromotionSettings) -> tuple[Check, ...]:
    """What is asked of a challenger: days enough, better than every baseline, not worse than the champion if any."""
    enough = found.days >= bounds.least_days
    checks = [Check("days that neither has seen", str(found.days), "", f">= {bounds.least_days}", enough)]
    if found.challenger:
        checks += _beyond_baselines(found.challenger, found.champion)
    if found.challenger and found.champion and found.over_champion:
        checks += _beside_champion(found.challenger.scores, found.champion.scores, found.over_champion, bounds)
    return tuple(checks)


def shortfalls(checks: Sequence[Check]) -> str:
    """What does not hold, as one line; empty where all does."""
    return "; ".join(f"{each.check} {each.challenger}, asked: {each.bound}" for each in checks if not each.ok)


def _beyond_baselines(challenger: Standing, champion: Standing | None) -> Iterator[Check]:
    for name, gain in challenger.over_baselines.items():
        theirs = _interval(champion.over_baselines[name]) if champion else ""
        yield Check(f"gain in RPS over {name}", _interval(gain), theirs, "low end > 0", gain.low > 0)


def _beside_champion(ours: Scores, theirs: Scores, gain: Gain, bounds: PromotionSettings) -> Iterator[Check]:
    yield Check("RPS", f"{ours.rps:.4f}", f"{theirs.rps:.4f}", "lower than the champion's", gain.gain > _ROUNDING)
    bound = -bounds.max_rps_loss
    yield Check("gain in RPS over the champion", _interval(gain), "", f"low end > {bound:g}", gain.low > bound)
    yield _no_lower("macro-F1", ours.macro_f1, theirs.macro_f1, bounds.max_macro_f1_loss)
    yield _no_lower("recall of high", ours.recall[_HIGH], theirs.recall[_HIGH], bounds.max_high_recall_loss)


def _no_lower(what: str, ours: float, theirs: float, loss: float) -> Check:
    """Whether a score is lower by no more than `loss`; one that cannot be told, as no such hour came, holds."""
    told = not math.isnan(theirs)
    bound = f">= {theirs - loss:.4f}" if told else "no such hour came"
    # a difference of just the bound must not fail by rounding
    return Check(what, f"{ours:.4f}", f"{theirs:.4f}", bound, not told or theirs - ours <= loss + _ROUNDING)


def _interval(gain: Gain) -> str:
    return f"{gain.gain:+.4f} ({gain.low:+.4f} .. {gain.high:+.4f})"
