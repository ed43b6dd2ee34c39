"""Asking a service over HTTP: every address that `serverload serve` has."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import pyarrow as pa
import requests

from serverload.api.rows import Rows
from serverload.contracts.errors import ServiceError

_ARROW = {"format": "arrow"}
_Values = Mapping[str, object]
_Views = Literal["horizon", "group", "day", "class", "model"]


class ForecastClient:
    """A service at `url` (as `http://127.0.0.1:8000`), asked with a key where it wants one.

    Times may be naive (UTC). Every method raises ServiceError, one line, where there is no answer within
    `timeout_seconds` or the answer is no success; it has the status and the fields that were wrong. Connections are
    kept: close it, or use it in a `with` block; not for several threads at once.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_seconds: float = 30.0) -> None:
        """Nothing is asked yet."""
        self._url, self._timeout = url.rstrip("/"), timeout_seconds
        self._session = requests.Session()
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def __enter__(self) -> "ForecastClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._session.close()

    def forecasts(
        self,
        server: str | Sequence[str] | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        as_of: datetime | None = None,
        revisions: Literal["newest", "all"] = "newest",
    ) -> Rows:
        """Forecasts for the target hours `start .. end`, the coming ones without; columns as table `forecasts`."""
        asked = {"server": server, "from": start, "to": end, "as_of": as_of, "revisions": revisions}
        return self._rows("/forecasts", asked)

    def plan(self, *, by: Literal["type", "file"] | None = None, as_of: datetime | None = None) -> Rows:
        """Advice for the next 48 hours, as `serverload plan` tells it; columns in docs/plan.md."""
        return self._rows("/plan", {"by": by, "as_of": as_of})

    def plan_replay(self, *, by: Literal["type", "file"] | None = None, days: int = 14, step_hours: int = 24) -> Rows:
        """How past advice would have held, as `serverload plan --replay` tells it; no rows before any can be judged."""
        return self._rows("/plan/replay", {"by": by, "days": days, "step_hours": step_hours})

    def quality(self, *, days: int = 14, by: _Views = "horizon") -> Rows:
        """Scores of what matured in the newest `days`, a row per group of a view; no rows before anything has."""
        return self._rows("/quality", {"days": days, "by": by})

    def naive(self, *, days: int = 14, by: _Views = "horizon") -> Rows:
        """As `quality`, beside what naive forecasts scored on the same hours."""
        return self._rows("/quality/naive", {"days": days, "by": by})

    def confusion(self, *, days: int = 14) -> Rows:
        """How often each class came where each was said, in what matured in the newest `days`."""
        return self._rows("/quality/confusion", {"days": days})

    def calibration(self, *, days: int = 14) -> Rows:
        """Of each class, in equal bins of its probability: the mean of this, and how often the class came."""
        return self._rows("/quality/calibration", {"days": days})

    def servers(self, *, by: Literal["type", "file"] | None = None) -> Rows:
        """All servers with their facts and `server_group`."""
        groups = self._json("/servers", {"by": by})["groups"]
        rows = [{"server_group": each["group"], **row} for each in groups for row in each["servers"]]
        return Rows(pa.Table.from_pylist(rows))

    def server(self, server: str, *, hours: int = 168) -> dict[str, Any]:
        """Facts of a server, its last `hours` (`hours`: list of rows), and its coming `forecasts` (list of rows)."""
        return self._json(f"/servers/{quote(server, safe='')}", {"hours": hours})

    def outcomes(self, server: str, *, horizon: int = 24, hours: int = 168) -> Rows:
        """What came of a server's forecasts issued `horizon` hours ahead, in the fleet's last `hours`."""
        path = f"/servers/{quote(server, safe='')}/outcomes"
        return self._rows(path, {"horizon": horizon, "hours": hours})

    def reasons(self, server: str, hour: datetime, *, top: int = 8) -> dict[str, Any]:
        """The terms that add up to the probability of the class that the newest forecast of a target hour says."""
        return self._json(f"/servers/{quote(server, safe='')}/reasons", {"hour": hour, "top": top})

    def fleet(self, *, past: int = 48, by: Literal["type", "file"] | None = None) -> dict[str, Any]:
        """Servers by hours, in columns: the last `past` as they were, the coming ones as forecast."""
        return self._json("/fleet", {"past": past, "by": by})

    def pipeline(self, *, batches: int = 120) -> dict[str, Any]:
        """How far the stream has come, and its newest `batches`."""
        return self._json("/pipeline", {"batches": batches})

    def rejects(self, *, examples: int = 3) -> dict[str, Any]:
        """Refused lines by reason, with so many examples of each."""
        return self._json("/rejects", {"examples": examples})

    def score(self, body: _Values) -> Rows:
        """Forecasts for histories or rows of features, in the shape that /openapi.json has as ScoreRequest."""
        answer = self._asked("POST", "/score", {}, json=body).json()
        return Rows(pa.Table.from_pylist(answer["forecasts"]))

    def models(self) -> dict[str, Any]:
        """The version that answers (`answering`), and all registered ones, the newest first (`models`)."""
        return self._json("/models", {})

    def alive(self) -> bool:
        """Whether the service answers at all; True, or ServiceError."""
        return bool(self._json("/healthz", {})["status"] == "ok")

    def ready(self) -> dict[str, Any]:
        """What was checked (`checks`); ServiceError where a model is not loaded, or forecasts are old."""
        return self._json("/readyz", {})

    def metrics(self) -> str:
        """The metrics of the service, as Prometheus reads them."""
        return str(self._asked("GET", "/metrics", {}).text)

    def _rows(self, path: str, asked: _Values) -> Rows:
        answer = self._asked("GET", path, {**asked, **_ARROW})
        return Rows(pa.ipc.open_stream(answer.content).read_all())

    def _json(self, path: str, asked: _Values) -> dict[str, Any]:
        told: dict[str, Any] = self._asked("GET", path, asked).json()
        return told

    def _asked(self, method: str, path: str, asked: _Values, json: _Values | None = None) -> requests.Response:
        where = f"{self._url}{path}"
        given = {name: _text(entry) for name, entry in asked.items() if entry is not None}
        try:
            answer = self._session.request(method, where, params=given, json=json, timeout=self._timeout)
        except requests.RequestException as error:
            raise ServiceError(_said(error), where=where, hint="is `serverload serve` running there?") from error
        if answer.status_code != HTTPStatus.OK:
            raise _refused(answer, where)
        return answer


def _refused(answer: requests.Response, where: str) -> ServiceError:
    """What the service says of a request that it does not answer."""
    try:
        problem = answer.json()
    except requests.JSONDecodeError:
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    what = f"{answer.status_code} {problem.get('detail', answer.reason)}"
    return ServiceError(what, where=where, status=answer.status_code, errors=problem.get("errors", ()))


def _said(error: requests.RequestException) -> str:
    """What broke a connection, without the layers that tell it again."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return f"no answer: {str(reason).rpartition(': ')[2]}"


def _text(entry: object) -> object:
    """A parameter as the service reads it."""
    if not isinstance(entry, datetime):
        return entry
    aware = entry if entry.tzinfo else entry.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
