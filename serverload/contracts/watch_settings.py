"""How models are watched in operation. Meanings stand in conf/base.toml."""

from pydantic import Field

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
