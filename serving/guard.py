"""Around every request: its id, the length of its body, what is logged and counted of it, and the last resort."""

import logging
import time
import uuid
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import REQUESTS, SECONDS
from serving.problems import ProblemError

LOG = logging.getLogger("serverload.serve")
_OTHER = "other"
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, hosts: Collection[str]) -> None:
        """`most_bytes`: of a body. `hosts`: names that callers may call us by; none: any."""
        self._app, self._most_bytes, self._hosts = app, most_bytes, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything that is no HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Request(scope, receive, send, self._most_bytes).answered(self._app, self._refusal(scope))

    def _refusal(self, scope: Scope) -> ProblemError | None:
        """What is wrong before anything is read. A page in a browser may reach us by a name of its own choice."""
        headers = dict(scope["headers"])
        if self._hosts and _host(headers.get(b"host", b"")) not in self._hosts:
            return ProblemError(
                HTTPStatus.FORBIDDEN, "without keys only this machine itself is answered, by its own name"
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._most_bytes:
            return _too_long(self._most_bytes)
        return None


class _Request:
    def __init__(self, scope: Scope, receive: Receive, send: Send, most_bytes: int) -> None:
        self._scope, self._receive, self._send, self._most_bytes = scope, receive, send, most_bytes
        self._id = uuid.uuid4().hex
        self._status, self._received = 0, 0

    async def answered(self, app: ASGIApp, refusal: ProblemError | None) -> None:
        began = time.perf_counter()
        try:
            if refusal is not None:
                await refusal.response()(self._scope, self._receive, self._sent)
            else:
                await app(self._scope, self._counted, self._sent)
        except Exception:
            LOG.exception("request %s to %s failed", self._id, self._path())
            if self._status:
                raise
            detail = f"something went wrong here; the log tells of it under {self._id}"
            problem = ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, detail, more={"id": self._id})
            await problem.response()(self._scope, self._receive, self._sent)
        finally:
            method = self._scope["method"] if self._scope["method"] in _METHODS else _OTHER
            REQUESTS.labels(method, self._path(), str(self._status)).inc()
            SECONDS.labels(self._path()).observe(time.perf_counter() - began)

    async def _counted(self) -> Message:
        """A part of the body; one that is sent without its length ends here when it grows too long."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._most_bytes:
            raise _too_long(self._most_bytes)
        return message

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._id.encode())]
        await self._send(message)

    def _path(self) -> str:
        """The address as it is declared, so that callers cannot make up new ones to be counted."""
        return str(getattr(self._scope.get("route"), "path", _OTHER))


def _too_long(most_bytes: int) -> ProblemError:
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {most_bytes:,} bytes; send it in parts")


def _host(header: bytes) -> str:
    """The name of a Host header, without its port."""
    try:
        return urlsplit(f"//{header.decode('ascii')}").hostname or ""
    except ValueError:
        return ""
