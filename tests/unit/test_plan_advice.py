"""What is advised for drawn outlooks, and how it is judged by what came."""

import math

import numpy as np
from plan_cases import HIGH, LOW, MEDIUM, RULES, outlook
from table_cases import NOON

from serverload.contracts.instants import hour_number
from serverload.contracts.plan_settings import PLAN_HOURS
from serverload.planning.advice import Advice, Kind, advised
from serverload.planning.held import all_knowing, held_rows, judged
from serverload.planning.outlook import Outlook

FIRST = hour_number(NOON)
NAN = float("nan")


def of_kind(kind: Kind, given: Outlook) -> list[Advice]:
    return [advice for advice in advised(given, RULES, FIRST) if advice.kind is kind]


def came(*loads: float) -> np.ndarray:
    """What came of servers, the same in each hour."""
    return np.tile(np.array(loads)[:, None], (1, PLAN_HOURS))


def test_low_servers_are_merged_onto_the_fullest_with_the_risk_of_their_high_hours() -> None:
    (merge,) = of_kind(Kind.MERGE, outlook((30.0, LOW), (60.0, LOW), (300.0, MEDIUM), hours={7: (0, (0.98, 0, 0.02))}))

    assert (merge.server, merge.others, merge.first, merge.last) == (1, (0,), 0, 47)
    assert math.isclose(merge.confidence, 0.98)
    assert math.isclose(merge.load, 60 + 0.98 * 30 + 0.02 * 500)
    assert merge.reason == (
        "2 servers, each low in the next 48 hours; together about 99 in their busiest hour (2016-06-10 19:00Z), "
        "and high is above 500; the risk that any hour is high is 2.00% at most, "
        "2.00% that one of them is high by itself"
    )


def test_one_hour_that_is_not_low_keeps_a_server_out() -> None:
    assert len(of_kind(Kind.MERGE, outlook((30.0, LOW), (150.0, LOW)))) == 1
    assert of_kind(Kind.MERGE, outlook((30.0, LOW), (150.0, LOW), hours={47: (1, MEDIUM)})) == []


def test_servers_of_two_groups_or_of_none_are_not_merged() -> None:
    assert of_kind(Kind.MERGE, outlook((30.0, LOW), (30.0, LOW), groups=("x", "y"))) == []
    assert of_kind(Kind.MERGE, outlook((30.0, LOW), (30.0, LOW), groups=("", ""))) == []


def test_who_is_likely_to_be_high_needs_more_with_the_surest_hour_as_confidence() -> None:
    given = outlook((400.0, MEDIUM), (400.0, MEDIUM), (400.0, MEDIUM),
                    hours={5: (0, (0, 0.5, 0.5)), 9: (1, (0, 0.2, 0.8)), 10: (2, (0, 0.51, 0.49))})  # fmt: skip

    assert [(each.server, each.confidence) for each in of_kind(Kind.ADD, given)] == [(1, 0.8), (0, 0.5)]
    assert of_kind(Kind.ADD, given)[0].reason == (
        "high is expected in 0.8 of the next 48 hours, and has 80% at 2016-06-10 21:00Z; "
        "about 480 in its busiest hour (2016-06-10 21:00Z), 0.96 times the 500 above which it is high"
    )


def test_the_quietest_window_is_the_earliest_of_equals_and_says_how_sure_its_class_is() -> None:
    given = outlook((50.0, MEDIUM), hours=dict.fromkeys((*range(10, 14), *range(20, 24)), (0, LOW)))
    given.probabilities[0, 11] = (0.9, 0.1, 0.0)

    (window,) = of_kind(Kind.MAINTAIN, given)

    assert (window.first, window.last, window.load, window.confidence) == (20, 23, 50.0, 1.0)
    given.probabilities[0, 11] = LOW
    assert of_kind(Kind.MAINTAIN, given)[0].first == 10


def test_no_servers_give_no_advice() -> None:
    assert advised(outlook(), RULES, FIRST) == []


def test_a_merge_holds_while_no_sum_is_high_and_add_if_there_was_a_high_hour() -> None:
    given = outlook((30.0, LOW), (60.0, LOW), (600.0, HIGH))
    for loads, merge_held, add_held in [((200.0, 300.0, 501.0), True, True), ((200.0, 300.1, 500.0), False, False)]:
        told = {each.kind: each for each in judged(given, advised(given, RULES, FIRST), came(*loads))}
        assert (told[Kind.MERGE].held, told[Kind.MERGE].achieved) == (merge_held, merge_held)
        assert (told[Kind.ADD].held, told[Kind.ADD].achieved) == (add_held, add_held)


def test_a_window_holds_while_no_hour_is_above_the_class_that_was_forecast() -> None:
    given = outlook((30.0, LOW))
    windows = of_kind(Kind.MAINTAIN, given)
    loads = came(100.0)
    loads[0, 4] = 300.0  # after the window
    assert [(each.held, each.achieved) for each in judged(given, windows, loads)] == [(True, 100.0)]
    loads[0, 3] = 300.0
    assert [(each.held, each.achieved) for each in judged(given, windows, loads)] == [(False, 150.0)]


def test_unknown_hours_are_no_load_and_advice_without_a_known_hour_is_not_judged() -> None:
    given = outlook((30.0, LOW), (60.0, LOW))
    loads = came(400.0, NAN)
    loads[0, :4] = NAN
    assert [(each.kind, each.held) for each in judged(given, advised(given, RULES, FIRST), loads)] == [
        (Kind.MERGE, True)
    ]


def test_one_who_knows_all_merges_by_what_came() -> None:
    given = outlook((30.0, MEDIUM), (30.0, LOW), (30.0, HIGH), (30.0, LOW), groups=("x", "x", "x", "y"))
    knowing = all_knowing(given, came(100.0, 390.0, 10.0, 501.0), 4)
    assert (knowing.freed, knowing.went_high, knowing.quietest.tolist()) == (2, 1, [100.0, 390.0, 10.0, 501.0])


def test_rows_add_up_what_was_achieved_and_average_windows() -> None:
    given = outlook((30.0, LOW), (60.0, LOW))
    told = []
    for loads in (came(200.0, 300.0), came(300.0, 300.0)):
        told.append((judged(given, advised(given, RULES, FIRST), loads), all_knowing(given, loads, 4)))

    rows = held_rows(told)

    assert [(row["advice"], row["given"], row["held"], row["achieved"], row["all_knowing"]) for row in rows] == [
        ("merge", 2, 1, 1.0, 1.0), ("add", 0, 0, 0.0, 0.0), ("maintain", 4, 0, 275.0, 275.0),
    ]  # fmt: skip
    assert (rows[0]["held_share"], rows[0]["confidence"], rows[1]["held_share"]) == (0.5, 1.0, None)
