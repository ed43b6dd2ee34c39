"""Starts the service: one socket, several worker processes behind it, and one watch of the registry for them all."""

import ipaddress
import os
import socket
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import uvicorn
from uvicorn.supervisors import Multiprocess

from serverload.contracts.errors import PlatformError, SettingsError
from serverload.contracts.serve_settings import ServeSettings
from serverload.contracts.settings import Settings
from serverload.store.held_tables import HeldTables
from serverload.store.newest_forecasts import newest_issue
from serverload.store.registered_models import ModelList
from serving.app import worker_app
from serving.groups import read_groups
from serving.keys import read_keys
from serving.metrics import SHARED_FOLDER
from serving.registry_watch import RegistryWatch

_GRACE_SECONDS = 30
_KEEP_ALIVE_SECONDS = 30
_HUNG_SECONDS = 30
"""A worker that has not answered for so long is replaced; one killed just as it was asked is waited for as long."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, which let running requests end.

    Raises SettingsError for an address that needs keys, InputError for a file that cannot be used, PlatformError where
    the address cannot be listened on.
    """
    check_open(settings.serve)
    registry = ModelList(settings.model.tracking_uri, settings.model.name, settings.home)
    with _listening(settings.serve) as listener, TemporaryDirectory(prefix="serverload-serve-") as folder:
        counts = Path(folder, "metrics")
        counts.mkdir()
        os.environ[SHARED_FOLDER] = str(counts)
        stop = Event()
        watch = RegistryWatch(
            registry, Path(folder), settings.classes, partial(_issued_by, HeldTables(settings.home, 0))
        )
        watching = Thread(target=watch.run, args=(stop, settings.serve.poll_seconds), daemon=True)
        watching.start()
        print(f"serving {settings.home} at {_address(listener)}", file=sys.stderr, flush=True)
        Multiprocess(_config(settings, Path(folder)), [listener]).run()
        stop.set()
        watching.join(_GRACE_SECONDS)


def check_open(serve: ServeSettings) -> None:
    """Refuse to let anybody in without a key, and to start with files that cannot be read."""
    if serve.keys_file:
        read_keys(Path(serve.keys_file))
    elif not is_loopback(serve.host):
        hint = "make a key with `serverload serve key NAME --keys-file FILE` and set [serve] keys_file"
        raise SettingsError(f"{serve.host} can be reached by others, and there are no keys", where="[serve]", hint=hint)
    if serve.groups_file:
        read_groups(Path(serve.groups_file))


def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's own alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _issued_by(tables: HeldTables) -> str | None:
    issue = newest_issue(tables)
    return issue.model_version if issue else None


def _listening(serve: ServeSettings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(serve.host, serve.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        hint = "choose another with --host and --port; --port 0 takes a free one"
        what = f"cannot be listened on: {error.strerror}"
        raise PlatformError(what, where=f"{serve.host} port {serve.port}", hint=hint) from error
    listener.listen(2048)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(settings: Settings, folder: Path) -> uvicorn.Config:
    return uvicorn.Config(
        partial(worker_app, settings, folder),
        factory=True,
        workers=settings.serve.workers,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_worker_healthcheck=_HUNG_SECONDS,
    )
