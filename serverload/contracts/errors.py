"""The errors a user can meet: each says what, where and what next, in one line."""

from collections.abc import Mapping, Sequence


class ServerloadError(Exception):
    """Base of every handled failure; the command line prints it as one line and exits with 1."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        """Build the line `where: what; hint` from its parts (empty parts are left out)."""
        message = f"{where}: {what}" if where else what
        super().__init__(" ".join(f"{message}; {hint}".split()) if hint else " ".join(message.split()))


class SettingsError(ServerloadError):
    """A settings file, variable or flag holds something that cannot be used."""


class InputError(ServerloadError):
    """Files, lines or arguments given by the user cannot be used."""


class StoreError(ServerloadError):
    """A table, checkpoint, lock or disk does not let the job go on."""


class BrokerError(ServerloadError):
    """The broker cannot be started, reached or used."""


class ModelError(ServerloadError):
    """The registry cannot be used, or holds no model that fits."""


class ServiceError(ServerloadError):
    """A service does not answer, or not with a success; `status` is 0 without an answer, `errors` the wrong fields."""

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", status: int = 0, errors: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.status, self.errors = status, tuple(errors)


class PlatformError(ServerloadError):
    """Java, a port, the disk or another part of the machine is missing or unfit."""
