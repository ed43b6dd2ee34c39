"""Dirt for synthetic lines, with a ledger of what each piece must come to."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from serverload.contracts.lines import FIELDS_16, FIELDS_17, REPAIRED_FIELDS

REFUSED_SHARE, REPAIRED_SHARE = 0.7, 0.3
OLDER_LAYOUT_SHARE, BLANK_SHARE = 0.3, 0.02
"""Of the dirty lines: added ones to be refused, good ones to be repaired; older layouts and blank lines come on top."""

FILE_ODDITY_PROBABILITY = 0.15

Maker = Callable[[list[bytes], Random], list[bytes]]


@dataclass
class DirtLedger:
    """What was put in: `rejected` by reason, `repaired` by field; all other lines are good ones."""

    good_lines: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    older_layout_lines: int = 0
    blank_lines: int = 0
    crlf_files: int = 0
    unended_files: int = 0

    @property
    def lines(self) -> int:
        """Lines that are not blank."""
        return self.good_lines + self.rejected.total()

    def told(self) -> dict[str, object]:
        """The ledger as plain values: lines = accepted + rejected, blank lines apart."""
        return {
            "lines": self.lines,
            "accepted": self.good_lines,
            "rejected": dict(sorted(self.rejected.items())),
            "repaired": dict(sorted(self.repaired.items())),
            "older_layout_lines": self.older_layout_lines,
            "blank_lines": self.blank_lines,
            "crlf_files": self.crlf_files,
            "unended_files": self.unended_files,
        }


class Soil:
    """Adds dirt to files of good lines at a rate of their lines, and keeps the ledger."""

    def __init__(self, rate: float, seed: int) -> None:
        self._rate, self._seed = rate, seed
        self.ledger = DirtLedger()

    def on(self, text: bytes, day: int) -> bytes:
        """Return a day's text with dirt; at rate 0 as it is.

        Lines to be refused, and blank ones, are added; every good line stays, though some get the older layout
        or lose a field that is only repaired. So the truth stays true.
        """
        lines, random = text.split(b"\n")[:-1], Random(f"{self._seed}:dirt:{day}")
        self.ledger.good_lines += len(lines)
        if self._rate <= 0 or not lines:
            return text
        refused = _rounded(len(lines) * self._rate * REFUSED_SHARE, random)
        added = _refused_lines(lines, refused, random, self.ledger)
        _alter_good_lines(lines, self._rate, random, self.ledger)
        for place in random.choices(range(len(lines)), k=_rounded(len(lines) * self._rate * BLANK_SHARE, random)):
            added.setdefault(place, []).append(random.choice((b"", b"  ", b"\t")))
            self.ledger.blank_lines += 1
        mixed: list[bytes] = []
        for place, line in enumerate(lines):
            mixed.append(line)
            mixed.extend(added.get(place, ()))
        return _with_line_ends(mixed, random, self.ledger)


def _with_line_ends(lines: list[bytes], random: Random, ledger: DirtLedger) -> bytes:
    crlf, unended = (random.random() < FILE_ODDITY_PROBABILITY for _ in range(2))
    ledger.crlf_files += crlf
    ledger.unended_files += unended
    line_end = b"\r\n" if crlf else b"\n"
    return line_end.join(lines) + (b"" if unended else line_end)


def _rounded(expected: float, random: Random) -> int:
    return int(expected + random.random())


def _refused_lines(lines: list[bytes], count: int, random: Random, ledger: DirtLedger) -> dict[int, list[bytes]]:
    """New lines by the place after which they come, each made from the good line there."""
    added: dict[int, list[bytes]] = {}
    reasons = tuple(_MAKERS)
    for _ in range(count):
        place, reason = random.randrange(len(lines)), random.choice(reasons)
        fields = _MAKERS[reason](lines[place].split(b","), random)
        added.setdefault(place, []).append(b",".join(fields))
        ledger.rejected[reason] += 1
    return added


def _alter_good_lines(lines: list[bytes], rate: float, random: Random, ledger: DirtLedger) -> None:
    to_repair = _rounded(len(lines) * rate * REPAIRED_SHARE, random)
    older = _rounded(len(lines) * rate * OLDER_LAYOUT_SHARE, random)
    places = random.sample(range(len(lines)), min(len(lines), to_repair + older))
    for place in places[:to_repair]:
        name = random.choice(REPAIRED_FIELDS)
        bad = random.choice((b"", b" ", b"null", b"NaN", b"1e400", b"-"))
        lines[place] = b",".join(_with(lines[place].split(b","), name, bad))
        ledger.repaired[name] += 1
    for place in places[to_repair:]:
        fields = lines[place].split(b",")
        lines[place] = b",".join([b"web", *fields[:14], fields[15], fields[14]])
        ledger.older_layout_lines += 1


def _with(fields: list[bytes], name: str, content: bytes) -> list[bytes]:
    place = FIELDS_16.index(name)
    return [*fields[:place], content, *fields[place + 1 :]]


def _broken_encoding(fields: list[bytes], random: Random) -> list[bytes]:
    broken = random.choice((b"\xff", b"\xc3(", b"caf\xe9", b"\xed\xa0\x80"))
    return _with(fields, random.choice(FIELDS_16), broken)


def _wrong_count(fields: list[bytes], random: Random) -> list[bytes]:
    """Any number of fields but 16 and 17, or broken JSON."""
    return random.choice((fields[:15], fields[:14], fields[:1], [*fields, b"", b""], [b'{"SessionStart": 1', *fields]))


def _header(_fields: list[bytes], random: Random) -> list[bytes]:
    names: Sequence[str] = random.choice((FIELDS_16, FIELDS_17))
    return [name.encode() for name in names]


def _bad_start(fields: list[bytes], random: Random) -> list[bytes]:
    day = fields[0][:10]
    months = (b"2016-13-01 00:00:00", b"2016-02-30 00:00:00", b"01/06/2016 00:05", b"1464739200")
    return _with(fields, "SessionStart", random.choice((b"", day, day + b" 24:00:00", day + b" 10:60:00", *months)))


def _bad_server(fields: list[bytes], random: Random) -> list[bytes]:
    bad = (b"IPs", b"", b"256.1.2.3", b"10.0.0.01", b"fe80::1%eth0", b"web-1")
    return _with(fields, "ServerIP", random.choice(bad))


def _bad_load(fields: list[bytes], random: Random) -> list[bytes]:
    bad = (b"", b"n/a", b"NaN", b"inf", b"-3.500", b"1e10", b"0x1F", b"1_000", b"1.")
    return _with(fields, "TotalLoad", random.choice(bad))


def _ahead(fields: list[bytes], random: Random) -> list[bytes]:
    far = random.choice((b"2099", b"2087", b"2100"))
    return _with(fields, "SessionStart", far + b"-02-01" + fields[0][10:])


_MAKERS: dict[str, Maker] = {
    "encoding": _broken_encoding,
    "columns": _wrong_count,
    "header": _header,
    "session_start": _bad_start,
    "server_ip": _bad_server,
    "total_load": _bad_load,
    "ahead": _ahead,
}
"""Reject reason -> what makes a good line one that is refused for it, and for no reason before it."""
