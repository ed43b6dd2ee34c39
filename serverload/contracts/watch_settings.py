"""How models are watched in operation. Meanings stand in conf/base.toml."""

from typing import Self

from pydantic import Field, model_validator

from serverload.contracts.setting_types import Section


class WatchSettings(Section):
    """Shadows, automatic rollback, and when a model is to be trained anew."""

    shadow: bool
    rollback_days: int = Field(ge=0)
    least_days: int = Field(ge=2)
    least_forecasts: int = Field(ge=1)
    recent_days: int = Field(ge=7)
    max_psi: float = Field(gt=0)
    max_rps_rise: float = Field(gt=0)
    max_age_days: int = Field(ge=1)
    retrain_days: int = Field(ge=1)

    @model_validator(mode="after")
    def _room_for_whole_days(self) -> Self:
        if 0 < self.rollback_days < self.least_days + 2:
            raise ValueError(f"rollback_days must be 0, or least_days ({self.least_days}) and two more")
        return self
