"""The dashboard: one page of HTML for all addresses, style and modules beside it; its data come from the other routes.

A page is a module in `pages/views`, named like its address, and a link in `pages/index.html`.
"""

from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from serverload.contracts.errors import PlatformError

FOLDER = Path(__file__).parents[1] / "pages"
PAGES = tuple(sorted(path.stem for path in (FOLDER / "views").glob("*.js")))
FIRST = "fleet"
CHARTS = "js/d3.v5.min.js"
"""D3, the library of the charts, as it lies in the package mpld3; nothing else of that is used."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_READ = ["GET", "HEAD"]

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=_READ)
def start() -> Response:
    """On to the first page."""
    return RedirectResponse(f"/dashboard/{FIRST}", headers=HEADERS)


@router.api_route("/dashboard/{page}", methods=_READ)
def page(page: str) -> Response:
    """The one page, which shows what its address names."""
    if page not in PAGES:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no such page; there are {', '.join(PAGES)}")
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


@router.api_route("/dashboard/library/d3.js", methods=_READ)
def charts() -> Response:
    """The library of the charts, from the installed package."""
    return FileResponse(_library(), headers=HEADERS | {"Cache-Control": "max-age=86400"}, media_type="text/javascript")


def _library() -> Path:
    """Where it lies; the package is not imported, which would take a second."""
    found = find_spec("mpld3")
    folders = found.submodule_search_locations if found else None
    if not folders:
        raise PlatformError("the package mpld3 is not installed", hint="install serverload with its dependencies")
    return Path(folders[0], CHARTS)


class _Files(StaticFiles):
    """Style and modules, with the same headers as the page."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def add_files(app: FastAPI) -> None:
    """Serve style and modules."""
    app.mount("/dashboard/files", _Files(directory=FOLDER), name="dashboard")
