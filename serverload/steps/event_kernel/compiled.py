"""How functions become machine code, and where that is kept between processes."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Self, TypeVar, cast

from numba import config, njit

_Function = TypeVar("_Function", bound=Callable[..., object])

# No counting of references to arrays: it took two thirds of the time. The price: no function may make an array.
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


def compiled(entry_point: _Function) -> _Function:
    """Compile at the first call, without the interpreter's lock, and keep the code on disk where that can be.

    Where no folder can be written, each process compiles anew. Constants of other packages are frozen into code
    that may outlive them: an entry point takes them as arguments.
    """
    before = getattr(config, "CACHE_LOCATOR_CLASSES", "")
    config.CACHE_LOCATOR_CLASSES = f"{CodeFolder.__module__}.{CodeFolder.__qualname__}"
    try:
        return cast(_Function, njit(cache=True, **_OPTIONS)(entry_point))
    except RuntimeError:
        return cast(_Function, njit(**_OPTIONS)(entry_point))
    finally:
        config.CACHE_LOCATOR_CLASSES = before


def part(function: _Function) -> _Function:
    """Compile as a part of the entry points that call it, melted into them."""
    return cast(_Function, njit(forceinline=True, **_OPTIONS)(function))


class CodeFolder:
    """Tells numba where to keep an entry point's code, and by which stamp to know that it is still true.

    Numba's own locators stamp the one file that holds the entry point, so a change to a part in another module
    would leave the old code running; and they know no wheel that is imported without being unpacked, as
    `spark-submit --py-files` does. This one stamps all modules of the package.
    """

    def __init__(self, folder: Path, line: int) -> None:
        self._folder = folder
        self._line = line

    @classmethod
    def from_function(cls, function: Callable[..., object], file: str) -> Self | None:
        """Take the first folder that can be written: NUMBA_CACHE_DIR, beside the source, the user's cache."""
        for folder in _candidates(Path(file)):
            locator = cls(folder, function.__code__.co_firstlineno)
            try:
                locator.ensure_cache_path()
            except OSError:
                continue
            return locator
        return None

    def ensure_cache_path(self) -> None:
        """Make the folder; raises OSError if it cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self._folder).close()

    def get_cache_path(self) -> str:
        """The folder of the code."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """What the kept code must have been made from."""
        return _stamp()

    def get_disambiguator(self) -> str:
        """Tell functions of one name in one module apart."""
        return str(self._line)


def _candidates(file: Path) -> list[Path]:
    chosen = [Path(config.CACHE_DIR) / "serverload" / _stamp()] if config.CACHE_DIR else []
    beside = [file.parent / "__pycache__"] if file.exists() else []
    user = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))  # noqa: PTH111
    return [*chosen, *beside, *([user / "serverload" / _stamp()] if user.is_absolute() else [])]


@cache
def _stamp() -> str:
    sources = sorted((module.name, module.read_bytes()) for module in files(__package__).iterdir() if module.is_file())
    return hashlib.sha256(repr([source for source in sources if source[0].endswith(".py")]).encode()).hexdigest()[:16]
