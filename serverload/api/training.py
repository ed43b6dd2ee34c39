"""Training from Python: the same job as `serverload train`."""

from pathlib import Path
from typing import TYPE_CHECKING

from serverload.contracts.homes import DEFAULT_PROFILE
from serverload.contracts.progress import Silent

if TYPE_CHECKING:
    from batch.train import TrainResult


def train(
    home: str | Path | None = None,
    *,
    chosen_range: str = "full",
    feature_set: str | None = None,
    config: str = DEFAULT_PROFILE,
) -> "TrainResult":
    """Bring the features up to date, fit the forest, test it on the newest days and register it. Needs Java.

    `home` and `config` as in `serverload.api.tables`; `chosen_range`: full, one-month, or FROM:TO; `feature_set`: full,
    or article (48 h only). The first version is champion, later ones challenge it. Starts Spark in this process, or
    joins the session that there is; it stays. The result's `table()` has a row per horizon (hours) and model with its
    scores. Raises InputError for a range or history that does not do, ModelError, PlatformError, StoreError.
    """
    from batch.train_range import checked_range
    from serverload.cli.options import open_registry, open_tables, settings_of
    from serverload.cli.training import run_train

    settings = settings_of(config, None if home is None else str(home), model={"feature_set": feature_set})
    checked_range(chosen_range)
    bar = Silent()
    return run_train(settings, open_tables(settings, "train", bar), open_registry(settings), bar, chosen_range)
