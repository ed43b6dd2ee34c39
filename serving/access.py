"""Who may ask: a key with the scope that an address wants, within its allowance of requests."""

import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serverload.contracts.errors import ServerloadError
from serving.keys import READ, SCORE, Key, holder
from serving.problems import ProblemError
from serving.service import Service, ServiceOf

_BEARER = HTTPBearer(auto_error=False, description="A key that `serverload serve key` has made.")
_CHALLENGE = {"WWW-Authenticate": "Bearer"}

Shown = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def needs(scope: str) -> Callable[..., Awaitable[None]]:
    """A dependency that lets in who has a scope. Raises ProblemError: 401, 403, or 429 with the seconds to wait."""

    async def checked(service: ServiceOf, shown: Shown) -> None:
        key = _holder(service, shown)
        seconds = service.rates.wait_seconds(key.name if key else "")
        if seconds:
            headers = {"Retry-After": str(math.ceil(seconds))}
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "too many requests; wait a little", headers=headers)
        if key is not None and scope not in key.scopes:
            raise ProblemError(HTTPStatus.FORBIDDEN, f"key {key.name} has not the scope {scope}")

    return checked


def _holder(service: Service, shown: HTTPAuthorizationCredentials | None) -> Key | None:
    """The key that is shown; None where the service has no keys. Raises ProblemError."""
    if service.keys is None:
        return None
    try:
        keys = service.keys.now()
    except (ServerloadError, OSError) as error:
        # whoever was let in by the keys before may have been taken out of them
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "keys cannot be read; nobody is let in") from error
    if shown is None:
        what = "a key is needed: Authorization: Bearer KEY"
        raise ProblemError(HTTPStatus.UNAUTHORIZED, what, headers=_CHALLENGE)
    key = holder(keys, shown.credentials)
    if key is None:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "this key is not known", headers=_CHALLENGE)
    return key


TO_READ = [Depends(needs(READ))]
TO_SCORE = [Depends(needs(SCORE))]
