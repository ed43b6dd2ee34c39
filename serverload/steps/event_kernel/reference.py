"""One line read by the rules, slowly and obviously: the slow path of the kernel and its tests' reference."""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from serverload.contracts.lines import FIELDS_16, FIELDS_17, REJECTED_TEXT_BYTES, REPAIRED_FIELDS
from serverload.steps.event_kernel.fields import is_server, number, time_micros, to_micros, trimmed
from serverload.steps.event_kernel.json_lines import json_texts
from serverload.steps.event_kernel.rules import LineRules

READ_FIELDS: tuple[str, ...] = ("SessionStart", "ServerIP", "TotalLoad", *REPAIRED_FIELDS)
"""The fields that are looked at; the rest of a line is not checked."""

LAYOUTS: tuple[tuple[str, ...], ...] = (FIELDS_16, FIELDS_17)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DIGIT = re.compile("[0-9]")
_PICK = {len(layout): itemgetter(*(layout.index(name) for name in READ_FIELDS)) for layout in LAYOUTS}


class Event(NamedTuple):
    """An accepted line: time in microseconds since 1970 UTC, measures in micros in the order of MEASURES."""

    server_ip: str
    time: int
    measures: tuple[int, ...]
    server_type: int | None
    repaired: tuple[str, ...]


class Refusal(NamedTuple):
    """A refused line, by one of REJECT_REASONS."""

    reason: str


class Skip(NamedTuple):
    """A line that this run leaves to another one."""


def parse_line(line: bytes, rules: LineRules) -> Event | Refusal | Skip | None:
    """Read one line without its LF: an event, a refusal or a skip; None if it is blank, which is no line.

    The first reason that holds is the one, in the order of REJECT_REASONS. Never raises, whatever the bytes.
    """
    body = _body(line)
    if not body.strip():
        return None
    try:
        texts = _texts(body.decode("utf-8"))
    except UnicodeDecodeError:
        return Refusal("encoding")
    return Refusal("columns") if texts is None else _judged(texts, rules)


def kept_text(line: bytes) -> str:
    """Give a refused line's text: without mark and CR, U+FFFD for broken bytes, at most 4096 bytes of UTF-8."""
    body = _body(line)
    longest_character = 4
    text = body[: REJECTED_TEXT_BYTES + longest_character].decode("utf-8", "replace")
    return text.encode("utf-8")[:REJECTED_TEXT_BYTES].decode("utf-8", "ignore")


def _body(line: bytes) -> bytes:
    return line.removesuffix(b"\r").removeprefix(_BYTE_ORDER_MARK)


def _texts(line: str) -> Sequence[str] | None:
    """The trimmed texts of READ_FIELDS, absent ones empty; None if the line has no such fields."""
    if line.startswith("{"):
        found = json_texts(line)
        return None if found is None else [trimmed(found.get(name, "")) for name in READ_FIELDS]
    pick = _PICK.get(line.count(",") + 1)
    return None if pick is None else [trimmed(text) for text in pick(line.split(","))]


def _judged(texts: Sequence[str], rules: LineRules) -> Event | Refusal | Skip:
    """What the texts of READ_FIELDS amount to."""
    start, server, total_load, *others = texts
    limits = rules.limits
    if rules.only_servers and server not in rules.only_servers:
        return Skip()
    time = time_micros(start)
    if time is None:
        return Refusal("header" if start and not _DIGIT.search(start) else "session_start")
    if time < limits.skipped_before or time >= limits.skipped_from:
        return Skip()
    if not is_server(server, rules):
        return Refusal("server_ip")
    total = number(total_load)
    if total is None or to_micros(total) < 0:
        return Refusal("total_load")
    if time < limits.earliest or time >= limits.latest:
        return Refusal("outside")
    if time > limits.ahead_after:
        return Refusal("ahead")
    return _event(server, time, to_micros(total), others)


def _event(server: str, time: int, total: int, others: Sequence[str]) -> Event:
    """Build the event; `others` are the texts of REPAIRED_FIELDS, of which the last is the type."""
    numbers = [number(text) for text in others]
    *summed, kind = numbers
    return Event(
        server_ip=server,
        time=time,
        measures=(total, *(0 if value is None else to_micros(value) for value in summed)),
        server_type=int(kind) if kind is not None and kind.is_integer() else None,
        repaired=tuple(name for name, found in zip(REPAIRED_FIELDS, numbers, strict=True) if found is None),
    )
