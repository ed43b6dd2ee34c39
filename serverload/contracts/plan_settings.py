"""What is advised, and how cautiously. Meanings stand in conf/base.toml."""

from pydantic import Field

from serverload.contracts.setting_types import Section

PLAN_HOURS = 48
"""Advice looks so many hours ahead."""


class PlanSettings(Section):
    """How sure advice has to be, and how long it stands."""

    max_risk: float = Field(ge=0, lt=1)
    min_confidence: float = Field(gt=0, le=1)
    maintenance_hours: int = Field(ge=1, le=PLAN_HOURS)
    valid_minutes: float = Field(gt=0)
