"""serverload: live workload forecasting for fleets of servers.

In Python: `load_forecasts`, `read_history` and `features` read a home without Spark, `train` makes a model with it, and
`ForecastClient` asks a service. Each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serverload.api.client import ForecastClient
    from serverload.api.rows import Rows
    from serverload.api.tables import features, load_forecasts, read_history
    from serverload.api.training import train

__version__ = "0.1.0"
__all__ = ["ForecastClient", "Rows", "features", "load_forecasts", "read_history", "train"]

_MODULES = {
    "ForecastClient": "client",
    "Rows": "rows",
    "features": "tables",
    "load_forecasts": "tables",
    "read_history": "tables",
    "train": "training",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
