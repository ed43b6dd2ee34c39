"""What is seen of jobs from outside, and what is done each day. Meanings stand in conf/base.toml."""

from typing import Literal

from pydantic import Field

from serverload.contracts.setting_types import Names, Section


class DailySettings(Section):
    """What `daily` works on."""

    paths: Names


class MetricsSettings(Section):
    """Where the stream tells its metrics, and how often it looks into the tables for them."""

    port: int = Field(ge=0, le=65535)
    address: str = Field(min_length=1)
    refresh_seconds: float = Field(ge=1)
    quality_days: int = Field(ge=1)


class LogSettings(Section):
    """How lines on stderr and in Spark's log are written."""

    format: Literal["text", "json"]
