"""What the OpenAPI document says of answers."""

from http import HTTPStatus
from typing import Any

from serving.problems import PROBLEM_TYPE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
_USUAL = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Problems that an address may answer with."""
    content = {PROBLEM_TYPE: {"schema": _PROBLEM}}
    return {status.value: {"description": status.phrase, "content": content} for status in statuses}


def described(*media_types: str, more: tuple[HTTPStatus, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """The kinds of an answer, and the problems that any address may answer with."""
    content: dict[str, dict[str, Any]] = {media_type: {} for media_type in media_types}
    return {200: {"description": "OK", "content": content}} | problems(*_USUAL, *more)
