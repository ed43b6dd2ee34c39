"""What `POST /score` takes: histories of servers, or rows of features made elsewhere."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from serverload.contracts.feature_columns import FEATURES, PEAKS, FeatureColumn
from serving.parameters import Hour, ServerName

MOST_REASONS = 20
_LONGEST_HORIZON = 168
_MOST_LOAD = 9e12
_INT = 2**31

Load = Annotated[float, Field(ge=0, le=_MOST_LOAD, allow_inf_nan=False)]
Measure = Annotated[float, Field(ge=-_MOST_LOAD, le=_MOST_LOAD, allow_inf_nan=False)]
ServerType = Annotated[int, Field(ge=-_INT, lt=_INT)]
Horizon = Annotated[int, Field(ge=1, le=_LONGEST_HORIZON)]
_NO_SESSIONS = "null is an hour without sessions"


class Strict(BaseModel):
    """A body's part: names that are not known are refused, numbers are no texts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _History(Strict):
    """One server's hours, hour after hour from its first one on."""

    server: ServerName
    server_type: ServerType | None = Field(None, description="Its group, by which prediction sets may differ.")
    first_hour: Hour = Field(description="Its first hour with sessions, or the first that is told.")

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        length = len(getattr(self, PEAKS[0]))
        for name in PEAKS[1:]:
            others = getattr(self, name)
            if others is not None and len(others) != length:
                raise ValueError(f"{name} has {len(others)} hours, {PEAKS[0]} has {length}")
        return self


_PEAK_FIELDS: dict[str, Any] = {
    PEAKS[0]: (
        list[Load | None],
        Field(min_length=1, description=f"Busiest 5-minute sum of each hour; {_NO_SESSIONS}."),
    ),
    **{name: (list[Measure | None] | None, Field(None, description="Of the same window.")) for name in PEAKS[1:]},
}
History = create_model("History", __base__=_History, **_PEAK_FIELDS)


def _field(feature: FeatureColumn) -> tuple[Any, Any]:
    if feature.name == "horizon_hours":
        return Horizon, Field(description=feature.comment)
    if feature.type == "INT":
        return ServerType, Field(description=feature.comment)
    if feature.type == "BOOLEAN":
        flag = feature.name.startswith("missing_")
        return (
            (bool | None, Field(None, description=feature.comment))
            if flag
            else (bool, Field(description=feature.comment))
        )
    return Measure | None, Field(None, description=feature.comment)


class _FeatureRow(Strict):
    """A row of table `features`; flags of missing loads may be left out."""

    server: ServerName | None = None
    server_type: ServerType | None = None


FeatureRow = create_model(
    "FeatureRow",
    __base__=_FeatureRow,
    **{feature.name: _field(feature) for feature in FEATURES},  # type: ignore[call-overload]
)


class ScoreRequest(Strict):
    """Either `servers` or `features`."""

    servers: list[History] | None = Field(None, min_length=1, description="Histories.")
    features: list[FeatureRow] | None = Field(None, min_length=1, description="Rows of features.")
    origin: Hour | None = Field(None, description="The newest closed hour; the newest one told, if not given.")
    horizons: list[Horizon] | None = Field(
        None, min_length=1, description="Hours ahead; those of the settings, if not given."
    )
    silent_hours: list[Hour] = Field(
        [], description="Hours in which no server of the fleet had sessions: unknown, not idle."
    )
    reasons: int = Field(0, ge=0, le=MOST_REASONS, description="So many features that moved each forecast most.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.servers is None) == (self.features is None):
            raise ValueError("expected either servers or features")
        if self.features is not None and (self.origin or self.horizons or self.silent_hours):
            raise ValueError("origin, horizons and silent_hours belong to servers: a row of features tells its own")
        return self
