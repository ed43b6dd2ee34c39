"""The groups that a user puts servers into: a CSV file, `server,group`."""

import csv
from collections.abc import Mapping
from pathlib import Path

from serverload.contracts.errors import InputError

_HEADER = ["server", "group"]


def read_groups(path: Path) -> Mapping[str, str]:
    """Group by server. Raises InputError with the line that cannot be used."""
    groups: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                fields = [field.strip() for field in row]
                if number == 1 and fields != _HEADER:
                    raise InputError(f"the first line is not {','.join(_HEADER)}", where=str(path))
                if number > 1 and fields not in ([], [""]):
                    if len(fields) != len(_HEADER) or fields[0] in groups:
                        what = "has not two fields" if len(fields) != len(_HEADER) else f"tells {fields[0]} again"
                        raise InputError(f"line {number} {what}", where=str(path))
                    groups[fields[0]] = fields[1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    return groups
