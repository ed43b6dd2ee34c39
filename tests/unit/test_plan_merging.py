"""Merging: the risk is a bound, packing is first-fit, and both are what a slow and obvious reference says."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serverload.planning.merging import first_fit, first_fit_by_group, fullest_first, merge_risks
from serverload.planning.outlook import SHARES, TAILS

LEVELS = len(SHARES)


def flat(*loads: float, hours: int = 2) -> np.ndarray:
    """Servers with one load at every level and hour."""
    return np.tile(np.array(loads)[:, None, None], (1, hours, LEVELS))


def test_loads_add_up_to_the_limit_and_not_beyond() -> None:
    nothing = np.zeros((1, 2))
    assert merge_risks(flat(300.0) + flat(200.0), nothing, 500.0).tolist() == [0.0]
    assert merge_risks(flat(300.0) + flat(201.0), nothing, 500.0).tolist() == [1.0]


def test_risks_of_hours_and_of_high_servers_are_added() -> None:
    levels = flat(300.0)
    levels[0, 1, 20:] = 600.0  # beyond level 19 in the second hour

    (risk,) = merge_risks(levels, np.array([[0.01, 0.02]]), 500.0)

    assert math.isclose(risk, 0.01 + 0.02 + TAILS[19])


def test_a_server_goes_into_the_first_group_with_room() -> None:
    loads = flat(300.0, 280.0, 190.0, 210.0, 20.0)
    merged = first_fit([0, 1, 2, 3, 4], loads, np.zeros((5, 2)), 500.0, 0.05)
    assert [each.members for each in merged] == [(0, 2), (1, 3)]  # 4 would fit neither: 490 + 20, 490 + 20


def test_who_is_too_risky_alone_is_in_no_group_and_nobody_stays_with_nobody() -> None:
    high = np.array([[0.06, 0.0], [0.0, 0.0], [0.03, 0.01]])
    merged = first_fit([0, 1, 2], flat(10.0, 10.0, 10.0), high, 500.0, 0.05)
    assert [(each.members, round(each.risk, 9)) for each in merged] == [((1, 2), 0.04)]
    assert first_fit([0, 1], flat(300.0, 300.0), np.zeros((2, 2)), 500.0, 0.05) == []


def test_the_risks_of_all_members_count_for_who_comes_next() -> None:
    merged = first_fit(range(4), flat(*[10.0] * 4), np.full((4, 2), 0.01), 500.0, 0.05)
    assert [(each.members, round(each.risk, 9)) for each in merged] == [((0, 1), 0.04), ((2, 3), 0.04)]


def test_groups_never_mix_and_those_of_no_group_stay_apart() -> None:
    merged = first_fit_by_group(range(5), ["x", "", "y", "x", ""], flat(*[1.0] * 5), np.zeros((5, 2)), 500.0, 0.05)
    assert [each.members for each in merged] == [(0, 3)]


def test_more_groups_than_first_foreseen() -> None:
    loads = flat(*[400.0] * 40, *[100.0] * 40)
    merged = first_fit(range(80), loads, np.zeros((80, 2)), 500.0, 0.0)
    assert [each.members for each in merged] == [(server, server + 40) for server in range(40)]


def test_the_fullest_come_first_and_equals_by_name() -> None:
    assert fullest_first(np.array([1.0, 3.0, 3.0]), ["c", "b", "a"]) == [2, 1, 0]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 300), min_size=6, max_size=6), st.lists(st.integers(0, 8), min_size=2, max_size=2)
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.0, 0.02, 0.05, 0.5]),
)
def test_packing_is_what_a_slow_and_obvious_packer_does(
    servers: list[tuple[list[int], list[int]]], max_risk: float
) -> None:
    levels = np.array(
        [[sorted(np.resize(loads[hour * 3 : hour * 3 + 3], LEVELS)) for hour in (0, 1)] for loads, _ in servers]
    )
    high = np.array([[chance / 512 for chance in chances] for _, chances in servers])

    merged = first_fit(range(len(servers)), levels.astype(float), high, 500.0, max_risk)

    assert [each.members for each in merged] == slow_packing(levels.tolist(), high.tolist(), max_risk)
    assert all(each.risk <= max_risk for each in merged)


def slow_packing(levels: list[list[list[int]]], high: list[list[float]], max_risk: float) -> list[tuple[int, ...]]:
    groups: list[list[int]] = []
    for server in range(len(levels)):
        if slow_risk([server], levels, high) > max_risk:
            continue
        for group in groups:
            if slow_risk([*group, server], levels, high) <= max_risk:
                group.append(server)
                break
        else:
            groups.append([server])
    return [tuple(group) for group in groups if len(group) > 1]


def slow_risk(group: list[int], levels: list[list[list[int]]], high: list[list[float]]) -> float:
    risk = 0.0
    for hour in (0, 1):
        risk += sum(high[server][hour] for server in group)
        sums = [sum(levels[server][hour][level] for server in group) for level in range(LEVELS)]
        risk += sum(share for share, load in zip(SHARES.tolist(), sums, strict=True) if load > 500)
    return min(risk, 1.0)
