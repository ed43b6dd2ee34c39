"""The registered versions as `serverload models` shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serverload.store.registered_models import ORIGIN_TAG, PROMOTED, ROLLED_BACK, KnownModel, KnownModels
from serverload.store.runs import run_row


@dataclass(frozen=True)
class ModelRow:
    """One version; empty texts and None where it has no such thing or its run is gone.

    `data_range`: targets trained on and tested on; `test_start`: the first that it has not seen; `rows`: trained on;
    `scores`: on the test, at the longest horizon; moves: the newest of each kind.
    """

    version: str
    aliases: str
    created: datetime
    job: str
    run: str
    feature_set: str
    data_range: str
    test_start: str
    rows: int | None
    scores: str
    promoted_at: datetime | None
    promoted_why: str
    rolled_back_at: datetime | None
    rolled_back_why: str
    origin: str


def model_rows(registry: KnownModels[Any]) -> list[ModelRow]:
    """Every version, the newest first; none where nothing has been registered yet."""
    return [_row(model) for model in registry.versions()]


def _row(model: KnownModel) -> ModelRow:
    run, tags = run_row(model.registry.tracking, model.run_id), model.tags
    newest = {move.event: move for move in model.moves}
    promoted, rolled_back = newest.get(PROMOTED), newest.get(ROLLED_BACK)
    return ModelRow(
        version=model.version,
        aliases=", ".join(model.aliases),
        created=model.created,
        job=run.job if run else "",
        run=run.run if run else "",
        feature_set=tags.get("feature_set", ""),
        data_range=" .. ".join(tags[end] for end in ("first_target", "test_end") if end in tags),
        test_start=tags.get("test_start", ""),
        rows=run.rows if run else None,
        scores=run.key_metrics if run else "",
        promoted_at=promoted.at if promoted else None,
        promoted_why=promoted.why if promoted else "",
        rolled_back_at=rolled_back.at if rolled_back else None,
        rolled_back_why=rolled_back.why if rolled_back else "",
        origin=tags.get(ORIGIN_TAG, ""),
    )
