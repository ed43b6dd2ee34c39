"""History files as bad as they come, drawn with a seed: every kind of dirt that the design names."""

import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

NAMES = (
    "SessionStart", "SessionEnd", "ConcurrentConnectionCounts", "MbytesTransferred", "ServiceGrade", "HTTP1",
    "ServerType", "SubService_1_Load", "SubService_2_Load", "SubService_3_Load", "SubService_4_Load",
    "SubService_5_Load", "SecureBytes_Load", "TotalLoad", "ClientIP", "ServerIP",
)  # fmt: skip
MEASURES = (*NAMES[7:14], "MbytesTransferred")
BOM = "\ufeff"

SERVERS = ("10.0.0.1", "10.0.0.2", "192.168.7.40", "2001:db8::1", "2001:DB8:0:0:0:0:0:1", "::ffff:10.0.0.1", "0.0.0.0")
BAD_SERVERS = (
    "", "10.0.0.01", "10.0.0.256", "10.0.0", "fe80::1%eth0", "10.0.0.1/24", "1::2::3", "localhost", "١٠.0.0.1",
    "10.0.0.1 .", "0x0a.0.0.1", '"10.0.0.1"', "2001:db8::g",
)  # fmt: skip
NUMBERS = (
    "0.1", "0.2", "0.3", "0.7", "+1e2", ".5", "-0", "0", "1E-3", "00012.50", "2.5e-6", "0.0000005", "0.0000015",
    "0.0000025", "1.0000005", "1e-400", "-.0000004", "-0.0000005", "123456.7890125", "0." + "3" * 60, "1e+2", "+0.0",
)  # fmt: skip
LARGE_NUMBERS = ("1e9", "1000000000.00000001", "999999999.9999995", "+.000001e15")
BAD_NUMBERS = (
    "", "NaN", "nan", "inf", "-Infinity", "1e400", "-1e400", "0x1F", "1_000", "5.", ".", "1e", "e5", "--1", "+-1",
    "1e5.0", "1000000000.1", "-1000000001", "１２", "1 2", '"3"', "1\r2", "1\u00a0", "12abc", "null",
    "1e99999999999999999999", "1d",
)  # fmt: skip
NEGATIVE_NUMBERS = ("-5", "-0.0000006", "-1e-3", "-12.75")
CLUSTERS = ("2016-02-28 22:00", "2015-12-31 23:00", "2016-02-29 23:30", "2016-03-31 23:00", "2016-03-27 01:00")
ODD_TIMES = (
    "2016-02-29 24:00:00", "2016-02-29 12:00:60", "2015-02-29 10:00:00", "2016-02-30 10:00", "2016-00-10 10:00",
    "2016-13-01 10:00", "2016-04-31T10:00", "2016-02-29 12:60", "2016-2-9 10:00", "2016-02-29", "2016-02-29 10",
    "2016-02-29 10:00:00.", "2016-02-29 10:00:00.1234567890", "2016-02-29 10:00.5", "2016-02-29 10:00:00 +18:01",
    "2016-02-29 10:00:00+05:60", "2016-02-29 10:00:00+19:00", "2016-02-29 10:00:00  Z", "2016-02-29 10:00:00z",
    "2016-02-29 10:00:00+05", "2016-02-29t10:00:00", "2016-02-29  10:00:00", "29.02.2016 10:00", "1456740000", "",
    "2016-02-29 10:00:00 UTC", "２０１６-02-29 10:00:00", "２０１６", "n/a", "SessionStart", '"2016-02-29 10:00:00"',
    "1969-12-31 23:59:59.999999999", "1970-01-01 00:30:00+01:00", "2101-01-01 00:00:00", "0000-01-01 00:00",
    "1900-02-29 10:00", "2100-02-29 10:00:00", "2016-02-29\r10:00:00", "+2016-02-29 10:00:00", "2016-02-29 10:00:00-",
)  # fmt: skip
EDGE_TIMES = (
    "1970-01-01 00:00", "1969-12-31T23:30-01:00", "2000-02-29 23:59:59.999999999Z", "2016-02-29 06:00:00+18:00",
    "2016-02-28T12:00:00.0000019-1800", "2016-12-31 23:59:59.9999999", "2017-01-01T00:00:00 +00:00",
    "2016-02-29 12:00-00:00",
)  # fmt: skip
AHEAD_TIMES = ("2100-12-31 23:59:59", "2101-01-01T00:30+01:00", "2099-02-28 10:00:00")
JSON_ODDITIES = (
    "{", "{}", '{"a":1}', '{"a":.5}',
    '{"ServerIP":}', "{'ServerIP':'10.0.0.1'}", '{"a":"\t"}', '{"a":1}{"b":2}', '{"a":1,}', '{"a":01}',
    '{"a":[1,2}', '{"a":"\\x"}', '{"a":"\\ud800"}', '{"a":' * 60 + "1" + "}" * 60, '{"a":"' + "long " * 1000 + '"}',
)  # fmt: skip
ODDITIES = (
    "", " \t ", "\v\f", "\r", BOM, BOM + " \r", "\x1c", "\x00", "\u00a0", ",", "," * 15, "," * 16, "," * 17, "[]",
    "null",     ",".join(NAMES),
    ",".join(("TrafficType", *NAMES[:14], "ServerIP", "ClientIP")), BOM + ",".join(NAMES), "just text",
    '"a,b",c', "x" * 5000, "y," * 12_000, "é" * 3000, BOM + BOM + ",".join(NAMES), " {" + "," * 15 + "}",
)  # fmt: skip
BROKEN = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")


class DirtyLines:
    """Draws lines without their LF, most of them good enough to be summed."""

    def __init__(self, seed: int, now: datetime) -> None:
        self._rng = random.Random(seed)
        self._near = [f"{now + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}" for minutes in (-200, 20, 120)]

    def lines(self, count: int) -> list[bytes]:
        """So many lines; about a fifth are no session at all."""
        kinds: tuple[tuple[Callable[[], bytes], int], ...] = (
            (self._csv, 80), (self._json, 12), (self._odd, 8), (self._broken, 3),
        )  # fmt: skip
        makers, weights = zip(*kinds, strict=True)
        return [make() + self._end() for make in self._rng.choices(makers, weights, k=count)]

    def _end(self) -> bytes:
        return b"\r" if self._chance(0.15) else b""

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share

    def _csv(self) -> bytes:
        session = self._session()
        texts = [session[name] for name in NAMES]
        if self._chance(0.4):
            texts = ["web", *texts[:14], texts[15], texts[14]]
        if self._chance(0.03):
            texts = self._rng.choice((texts[:-1], [*texts, ""], [*texts, "more", "fields"], texts[1:]))
        if self._chance(0.1):
            blank = self._rng.choice(("\v", " \f", "\t ", "\r", "\u00a0"))
            place = self._rng.randrange(len(texts))
            texts[place] = blank + texts[place] + blank
        marks = self._rng.choice((1, 1, 2)) if self._chance(0.04) else 0
        return (BOM * marks + ",".join(texts)).encode()

    def _json(self) -> bytes:
        if self._chance(0.2):
            return self._rng.choice(JSON_ODDITIES).encode()
        pairs = [f"{json.dumps(name)}: {self._json_text(text)}" for name, text in self._session().items()]
        self._rng.shuffle(pairs)
        if self._chance(0.2):
            pairs.append(f'"{self._rng.choice(MEASURES)}": {self._rng.choice(("7.25", "NaN", "null", "true", "[1]"))}')
        if self._chance(0.1):
            pairs.append(
                self._rng.choice(('"serverip": "10.9.9.9"', '"in": {"ServerIP": "10.9.9.9"}', '"in": {"a": NaN}'))
            )
        whole = "{" + ",".join(pairs) + "}"
        return (whole[: self._rng.randrange(1, len(whole))] if self._chance(0.05) else whole).encode()

    def _json_text(self, text: str) -> str:
        """A number as it stands where JSON has it so, else a string."""
        try:
            json.loads(text)
        except ValueError:
            return json.dumps(text, ensure_ascii=self._chance(0.5))
        return text if self._chance(0.7) else json.dumps(f" {text}\n")

    def _odd(self) -> bytes:
        return self._rng.choice(ODDITIES).encode()

    def _broken(self) -> bytes:
        line = self._csv()
        place = self._rng.randrange(len(line) + 1)
        return line[:place] + self._rng.choice(BROKEN) + line[place:]

    def _session(self) -> dict[str, str]:
        session = dict.fromkeys(NAMES, "1")
        session["SessionStart"] = self._time()
        session["SessionEnd"] = self._rng.choice(("", "never", session["SessionStart"], '"'))
        session["ClientIP"] = self._rng.choice(
            ("10.1.1.1", "", "?", 'o"hara', "a\rb", "é" * 2300 if self._chance(0.05) else "é")
        )
        session["ServerIP"] = self._rng.choice(BAD_SERVERS if self._chance(0.03) else SERVERS)
        session["ServerType"] = self._rng.choice(("1", "2", "30", "2.5", "4.0", "-7", "1e3", "", "x", "1e9"))
        for name in MEASURES:
            session[name] = self._number()
        if self._chance(0.93):
            session["TotalLoad"] = self._rng.choice(NUMBERS[:5])
        return session

    def _number(self) -> str:
        pools = (NUMBERS, BAD_NUMBERS, NEGATIVE_NUMBERS, LARGE_NUMBERS, (f"{self._rng.random() * 300:.9f}",))
        return self._rng.choice(self._rng.choices(pools, (60, 5, 3, 0.3, 30))[0])

    def _time(self) -> str:
        if self._chance(0.1):
            pools = (ODD_TIMES, EDGE_TIMES, AHEAD_TIMES, self._near)
            return self._rng.choice(self._rng.choices(pools, (60, 20, 5, 15))[0])
        local = datetime.fromisoformat(self._rng.choice(CLUSTERS)) + timedelta(seconds=self._rng.randrange(4500))
        zone, minutes = self._rng.choice(
            (("", 0), ("Z", 0), (" Z", 0), ("+05:30", 330), ("-0800", -480), (" -00:45", -45))
        )
        local += timedelta(minutes=minutes)
        text = f"{local:%Y-%m-%d}{self._rng.choice(' T')}{local:%H:%M}"
        if self._chance(0.9):
            digits = self._rng.randrange(10)
            text += f"{local::%S}" + (f".{self._rng.randrange(10**digits):0{digits}}" if digits else "")
        return text + zone


def draw_history(folder: Path, seed: int, now: datetime) -> list[Path]:
    """Write files of every kind: LF and CRLF, with a mark, ending within a line, compressed in two members, empty."""
    draw = DirtyLines(seed, now.astimezone(UTC))
    (folder / "older").mkdir()
    whole = b"\n".join(draw.lines(700)) + b"\n"
    halves = [gzip.compress(b"\n".join(draw.lines(250)) + end, mtime=0) for end in (b"", b"\n")]
    contents = {
        "a.csv": whole,
        "b.csv": BOM.encode() + b"\r\n".join(draw.lines(450)),
        "c.csv.gz": b"".join(halves),
        "d.csv": b"",
        "e.csv": b"\n" * 3000 + b"\n".join(draw.lines(300)) + b"\n\n\r\n" + tied_sessions(),
        "older/a.csv": b"\n".join(draw.lines(500)) + b"\r",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def tied_sessions() -> bytes:
    """Two windows of equal sums that floats would tell apart, the earlier one last and with other measures."""
    loads = (
        ("10:05", "0.1", "1"),
        ("10:05", "0.2", "0"),
        ("10:05", "0.3", "0"),
        ("10:00", "0.6", "20"),
        ("10:10", "0.5", "9"),
    )
    lines = [
        f"2016-02-29 {time},,1,{mbytes},1,1,3,1,1,1,1,1,1,{load},10.1.1.1,{server}"
        for server in ("172.16.0.1", "fe80::1")
        for time, load, mbytes in loads
    ]
    return "\n".join(lines).encode()
