"""How forecasts are served over HTTP. Meanings stand in conf/base.toml."""

from pydantic import Field

from serverload.contracts.setting_types import Section


class ServeSettings(Section):
    """Where the service listens, who may ask, and how much at once."""

    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    workers: int = Field(ge=1, le=256)
    keys_file: str
    groups_file: str
    fresh_minutes: float = Field(gt=0)
    poll_seconds: float = Field(gt=0)
    max_body_bytes: int = Field(ge=1024)
    max_rows: int = Field(ge=1)
    requests_per_minute: int = Field(ge=0)
    cache_bytes: int = Field(ge=0)
