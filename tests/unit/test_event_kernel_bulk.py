"""Hundreds of thousands of numerals and times, drawn with a seed: the fast path reads them as the reference does."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from event_kernel_cases import RULES, line

from serverload.steps.event_kernel import EventKernel, KernelResult
from serverload.steps.event_kernel.fields import number, time_micros, to_micros

COUNT = 50_000
KERNEL = EventKernel(replace(RULES, batch_time=datetime(2101, 1, 1, tzinfo=UTC)))


def any_numeral(draw: random.Random) -> str:
    whole = "".join(draw.choices("0123456789", k=draw.randrange(22)))
    fraction = "".join(draw.choices("0123456789", k=draw.randrange(28)))
    exponent = draw.choice(["", "", "", f"e{draw.randrange(-30, 30)}", f"E+{draw.randrange(12)}"])
    return draw.choice(["", "", "-", "+"]) + whole + draw.choice([".", ".", ""]) + fraction + exponent


def numeral_near_a_half(draw: random.Random) -> str:
    millionths = draw.randrange(10 ** draw.randrange(1, 15)) * 2 + draw.randrange(2)
    tail = draw.choice(["5", "50", "4" + "9" * draw.randrange(1, 14), "5" + "0" * draw.randrange(1, 14) + "1"])
    return f"{millionths // 10**6}.{millionths % 10**6:06d}{tail}"


def numeral_of_a_double(draw: random.Random) -> str:
    value = draw.choice(
        [draw.random(), draw.expovariate(1e-3), (draw.randrange(10**9) + 0.5) / 1e6, draw.random() * 2e9]
    )
    return draw.choice([repr, "{:.7f}".format, "{:.9f}".format, "{:.17g}".format, "{:.12e}".format])(value)


def numeral_near_the_limit(draw: random.Random) -> str:
    return (
        draw.choice(["1000000000", "999999999"])
        + "."
        + draw.choice("09") * draw.randrange(1, 14)
        + str(draw.randrange(100))
    )


NUMERALS = [any_numeral, numeral_near_a_half, numeral_of_a_double, numeral_near_the_limit]


def windows_of(field: str, texts: list[str]) -> KernelResult:
    """One line and one window for each text of a field, in order."""
    rest = line(SessionStart="", **{field: "#"}).decode()
    start, step = datetime(1970, 1, 1), timedelta(minutes=5)
    lines = [f"{start + step * at}{rest.replace('#', text)}" for at, text in enumerate(texts)]
    return KERNEL.run("\n".join(lines).encode())


@pytest.mark.parametrize("numeral", NUMERALS)
def test_numerals_give_the_micros_that_the_reference_gives(numeral):
    draw = random.Random(20160601)
    texts = [numeral(draw) for _ in range(COUNT)]
    result = windows_of("MbytesTransferred", texts)
    values = [number(text) for text in texts]
    assert result.windows["mbytes_transferred"].to_pylist() == [to_micros(value or 0.0) for value in values]
    assert result.counts.repaired_by_field.get("MbytesTransferred", 0) == values.count(None)
    assert result.slow_lines < COUNT * (0.1 if numeral in (any_numeral, numeral_of_a_double) else 0.5)


@pytest.mark.parametrize("numeral", NUMERALS)
def test_numerals_give_the_types_that_the_reference_gives(numeral):
    draw = random.Random(20160602)
    texts = [str(draw.randrange(40)) if draw.random() < 0.1 else numeral(draw) for _ in range(COUNT)]
    result = windows_of("ServerType", texts)
    values = [number(text) for text in texts]
    kinds = [int(value) if value is not None and value.is_integer() else None for value in values]
    assert result.windows["server_type"].to_pylist() == kinds
    assert result.counts.repaired_by_field.get("ServerType", 0) == values.count(None)


def test_the_common_numerals_take_the_fast_path():
    draw = random.Random(7)
    lines = [
        line(TotalLoad=repr(draw.expovariate(0.01)), MbytesTransferred=f"{draw.random():.7f}") for _ in range(20_000)
    ]
    assert KERNEL.run(b"\n".join(lines)).slow_lines <= 2


def any_time(draw: random.Random) -> str:
    day = f"{draw.choice([1969, 1970, 2015, 2016, 2100, 2101])}-{draw.randrange(14):02d}-{draw.randrange(33):02d}"
    minute = f"{draw.choice(' T')}{draw.randrange(25):02d}:{draw.randrange(61):02d}"
    fraction = "." + "".join(draw.choices("0123456789", k=draw.randrange(11)))
    second = draw.choice(["", f":{draw.randrange(61):02d}", f":{draw.randrange(60):02d}{fraction}"])
    offset = f"{draw.choice('+-')}{draw.randrange(20):02d}{draw.choice([':', ''])}{draw.randrange(62):02d}"
    return day + minute + second + draw.choice(["", "", " "]) + draw.choice(["", "", "Z", offset])


def broken_time(draw: random.Random) -> str:
    time = f"{draw.randrange(1960, 2110)}-06-01 00:07:30.123456+01:30"[: draw.randrange(14, 33)]
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(time))
        time = time[:at] + draw.choice("00112233456789:-+TZz. /") + time[at + draw.choice([0, 1, 1, 1]) :]
    return time


@pytest.mark.parametrize("time", [any_time, broken_time])
def test_times_give_the_microseconds_that_the_reference_gives(time):
    draw = random.Random(20160601)
    texts = [time(draw).strip() for _ in range(COUNT)]
    before, after = line(SessionStart="@", ServerIP="#").decode().split("@")
    servers = [f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}" for at in range(COUNT)]
    lines = [f"{text}{after}".replace("#", server) for text, server in zip(texts, servers, strict=True)]
    result = KERNEL.run("\n".join(lines).encode())
    wanted = [(server, time_micros(text)) for server, text in zip(servers, texts, strict=True)]
    found = dict(
        zip(
            result.windows["server_ip"].to_pylist(),
            result.windows["last_event"].cast(pa.int64()).to_pylist(),
            strict=True,
        )
    )
    assert before == ""
    assert found == {server: micros for server, micros in wanted if micros is not None}
    assert result.slow_lines == 0
    assert 0.02 < np.mean([micros is not None for _, micros in wanted]) < 0.98
