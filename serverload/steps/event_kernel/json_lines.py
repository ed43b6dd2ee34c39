"""A line that is one JSON object, read strictly by RFC 8259."""

import json
import re
from collections.abc import Mapping

MAX_NESTING = 500
"""Deeper JSON is refused at a fixed depth, or what is refused would hang on the caller's stack."""

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKET = re.compile(r"[{}\[\]]")


def json_texts(line: str) -> Mapping[str, str] | None:
    """Give the text under each key of a JSON object, or None if the line is none.

    Strings stand as they are, numbers by their text however long; null, booleans, lists and objects
    are left out. The last of equal keys wins. NaN and Infinity are no JSON.
    """
    if _nesting(line) > MAX_NESTING:
        return None
    try:
        found = _DECODER.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {key: text for key, text in found.items() if isinstance(text, str)}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


def _nesting(line: str) -> int:
    """Depth of the brackets outside strings; cheap where there are too few to matter."""
    if line.count("{") + line.count("[") <= MAX_NESTING:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", line)):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest
