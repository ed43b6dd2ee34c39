"""What a caller is told when something is wrong: problem JSON (RFC 9457), with the path of each bad field."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

PROBLEM_TYPE = "application/problem+json"
_MOST_ERRORS = 20
_UNWORDED = "Value error, "


class ProblemError(Exception):
    """An answer that is no success: its status, one line of what and what next, and the fields that are wrong."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        self.more = dict(more or {}) | ({"errors": list(errors)} if errors else {})

    def response(self) -> Response:
        """It as an answer."""
        told = {"type": "about:blank", "title": self.status.phrase, "status": self.status, "detail": self.detail}
        return JSONResponse(told | self.more, self.status, self.headers, PROBLEM_TYPE)


def bad_field(
    where: str, path: str, message: str, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY
) -> ProblemError:
    """One field that is wrong: `where` is query, path or body, `path` the way to it, as servers/0/peak_load."""
    return ProblemError(status, f"{where} {path}: {message}", errors=[{"in": where, "path": path, "message": message}])


def bad_body(error: ValidationError) -> ProblemError:
    """What pydantic has found in a body."""
    return _bad_fields([("body", *each["loc"]), each["msg"]] for each in _errors(error))


def _errors(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _bad_fields(found: Iterable[Sequence[Any]]) -> ProblemError:
    errors = [
        {"in": str(loc[0]), "path": "/".join(map(str, loc[1:])), "message": message.removeprefix(_UNWORDED)}
        for loc, message in found
    ]
    first, others = errors[0], len(errors) - 1
    place = f"{first['in']} {first['path']}".strip()
    detail = f"{place}: {first['message']}" + (f" (and {others} more)" if others else "")
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors[:_MOST_ERRORS])


async def told_problem(_request: Request, problem: Exception) -> Response:
    """Answer with a problem."""
    assert isinstance(problem, ProblemError)
    return problem.response()


async def told_fields(_request: Request, error: Exception) -> Response:
    """Answer with the parameters that FastAPI has refused."""
    assert isinstance(error, RequestValidationError)
    return _bad_fields([each["loc"], each["msg"]] for each in error.errors()).response()


async def told_status(_request: Request, error: Exception) -> Response:
    """Answer with what Starlette says of a path or method."""
    assert isinstance(error, HTTPException)
    return ProblemError(HTTPStatus(error.status_code), str(error.detail), headers=error.headers).response()
