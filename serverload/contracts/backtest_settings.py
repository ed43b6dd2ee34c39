"""Settings of `backtest`."""

from pydantic import Field

from serverload.contracts.setting_types import Section


class BacktestSettings(Section):
    """Where a backtest cuts the history."""

    cutoffs: int = Field(ge=1)
    step_days: int = Field(ge=1)
