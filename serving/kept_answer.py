"""An answer that is made once for many who ask again and again: with an ETag, and packed for those who take that."""

import gzip
import hashlib
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

_PACKING = 5


@dataclass(frozen=True)
class KeptAnswer:
    """A JSON body, the same packed by gzip, and what tells it from others."""

    body: bytes
    packed: bytes
    etag: str

    @classmethod
    def of(cls, told: BaseModel) -> "KeptAnswer":
        """The answer that tells a model."""
        body = told.model_dump_json().encode()
        digest = hashlib.sha256(body).hexdigest()[:32]
        return cls(body, gzip.compress(body, _PACKING), f'W/"{digest}"')

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return len(self.body) + len(self.packed)


def answered(request: Request, kept: KeptAnswer) -> Response:
    """The answer, or that nothing has changed since the one that the caller has."""
    headers = {"ETag": kept.etag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Authorization"}
    if kept.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(kept.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type="application/json")
    return Response(kept.body, headers=headers, media_type="application/json")
