"""A replay that is stopped or killed anywhere goes on with the same command, and each message is there once."""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_stage import Killed, ManualClock, MemoryTopic, Message, RecordingSender, line, replayed, write_lines

from producers.faults import FaultRates
from producers.positions import PositionFile, replay_id
from producers.topics import Destination
from serverload.contracts.errors import BrokerError, InputError, StoreError

DIRT = [b"SessionStart,IPs", b"\xff\xfe,", b'{"ServerIP": "10.0.0.9"}', line("2099-01-01 00:00:00", "10.0.0.8")]
FAULTS = FaultRates(late=0.1, shuffle=0.1, duplicates=0.1, corrupt=0.1, seed=5)


def history(folder: Path, count: int = 40) -> Path:
    """Two files that overlap, with dirt among the lines; every text is another."""
    lines = [line(f"06-01 00:{n % 60:02d}:00", f"10.0.0.{n % 5}", str(n)) for n in range(count)]
    write_lines(folder / "csv/a.csv", [*lines[::2], *DIRT[:2]])
    write_lines(folder / "csv/b.csv.gz", [DIRT[2], *lines[1::2], DIRT[3]])
    return folder / "csv"


def whole(folder: Path, paths: Path, **options: object) -> list[bytes]:
    """What one replay without interruption sends, in order."""
    sender = RecordingSender(MemoryTopic())
    assert replayed(folder / "other-home", paths, sender=sender, **options).finished
    return sender.order


class Ends:
    """Luck by which only what was sent last arrives, the newest `count` messages of `total`."""

    def __init__(self, total: int, count: int) -> None:
        self.arrives = iter([0.9] * (total - count) + [0.1] * count)

    def random(self) -> float:
        return next(self.arrives)


lives = st.tuples(
    st.sampled_from(["send", "flush", "stop"]), st.integers(0, 30), st.integers(0, 1000), st.sampled_from([0, 0.1, 0.5])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(lives, max_size=5), st.sampled_from([FaultRates(), FAULTS]))
def test_however_often_it_is_killed_or_stopped_each_message_is_there_once(tmp_path_factory, lives, faults):
    """What travels at a death arrives or is lost, one by one; other programs write to the topic in between."""
    folder = tmp_path_factory.mktemp("killed")
    paths, topic, home = history(folder), MemoryTopic(), folder / "home"
    stranger = Message(b"10.0.0.1", b"of another program", b"other-run:3")
    for how, when, luck, tick in lives:
        topic.logs[luck % topic.partitions].append(stranger)
        death = {} if how == "stop" else {f"dies_at_{how}": when}
        sender = RecordingSender(topic, **death, luck=Random(luck))
        stopping = (lambda sender=sender, when=when: len(sender.order) >= when) if how == "stop" else lambda: False
        with suppress(Killed):
            replayed(home, paths, sender=sender, faults=faults, clock=ManualClock(tick=tick), stopping=stopping)
    result = replayed(home, paths, sender=RecordingSender(topic), faults=faults)
    assert result.finished
    ours = Counter(text for text in topic.texts if text != stranger.text)
    assert ours == Counter(whole(folder, paths, faults=faults))


def test_messages_that_arrived_far_ahead_are_remembered_over_the_next_deaths(tmp_path):
    """The first start loses 20 messages and gets the 10 after them through; the next ones reach only the gap."""
    paths, topic = history(tmp_path), MemoryTopic()
    first = RecordingSender(topic, dies_at_send=30, luck=Ends(30, 10))
    with pytest.raises(Killed):
        replayed(tmp_path / "home", paths, sender=first, clock=ManualClock())
    assert len(topic.texts) == 10
    for _ in range(2):
        with pytest.raises(Killed):
            replayed(tmp_path / "home", paths, sender=RecordingSender(topic, dies_at_send=6), clock=ManualClock(tick=1))
    replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    assert Counter(topic.texts) == Counter(whole(tmp_path, paths))


def test_a_start_after_a_stop_that_is_killed_at_once_is_read_back_too(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic()
    half = RecordingSender(topic)
    replayed(tmp_path / "home", paths, sender=half, stopping=lambda: len(half.order) >= 20)
    with pytest.raises(Killed):
        replayed(tmp_path / "home", paths, sender=RecordingSender(topic, dies_at_send=9), clock=ManualClock())
    assert len(topic.texts) > 20
    replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    assert Counter(topic.texts) == Counter(whole(tmp_path, paths))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=4), st.sampled_from([0.0, 0.1]))
def test_stopped_anywhere_it_goes_on_in_order(tmp_path_factory, stops, tick):
    folder = tmp_path_factory.mktemp("stopped")
    paths, topic, order = history(folder), MemoryTopic(), []
    for stop in stops:
        sender = RecordingSender(topic)
        result = replayed(
            folder / "home",
            paths,
            sender=sender,
            clock=ManualClock(tick=tick),
            stopping=lambda sender=sender, stop=stop: len(sender.order) >= stop,
        )
        order += sender.order
        assert result.sent == len(sender.order)
        assert result.finished == (len(order) == 44)
    last = RecordingSender(topic)
    result = replayed(folder / "home", paths, sender=last)
    assert order + last.order == whole(folder, paths)
    assert (result.sent, result.sent_before) == (len(last.order), len(order))


def test_a_stopped_replay_is_stopped_while_it_waits_for_its_time(tmp_path):
    stop = []

    class Stopping(ManualClock):
        def sleep(self, seconds):
            stop.append(seconds)

    path = write_lines(tmp_path / "a.csv", [line("06-01 00:00:00"), line("06-01 10:00:00")])
    topic = MemoryTopic()
    options = {"speed": 1.0, "clock": Stopping(), "stopping": lambda: bool(stop)}
    result = replayed(tmp_path / "home", path, sender=RecordingSender(topic), **options)
    assert (result.sent, result.finished, stop) == (1, False, [36_000])
    assert replayed(tmp_path / "home", path, sender=RecordingSender(topic)).sent == 1


def test_a_finished_replay_sends_nothing_and_again_sends_everything_anew(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic()
    first = replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    assert (first.sent, first.finished) == (44, True)
    second = replayed(tmp_path / "home", paths, sender=RecordingSender(topic), speed=60.0)
    assert (second.sent, second.sent_before, second.finished) == (0, 44, True)
    third = replayed(tmp_path / "home", paths, sender=RecordingSender(topic), again=True)
    assert (third.sent, third.finished) == (44, True)
    assert sorted(Counter(topic.texts).values()) == [2] * 44
    runs = {message.source.split(b":")[0].decode() for log in topic.logs for message in log}
    assert sorted(len(topic.of_run(run)) for run in runs) == [44, 44]


def test_keys_keep_their_partition_and_their_order_over_a_resume_with_more_partitions(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic(partitions=3)
    half = RecordingSender(topic)
    replayed(tmp_path / "home", paths, sender=half, stopping=lambda: len(half.order) >= 20)
    topic.partitions = 8
    topic.logs += [[] for _ in range(5)]
    replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    assert len(topic.texts) == 44
    assert not any(topic.logs[3:])
    order = whole(tmp_path, paths)
    for log in topic.logs:
        places = [order.index(message.text) for message in log]
        assert places == sorted(places)


def test_a_topic_made_anew_gets_everything(tmp_path):
    paths = history(tmp_path)
    replayed(tmp_path / "home", paths, sender=RecordingSender(MemoryTopic()))
    result = replayed(tmp_path / "home", paths, sender=RecordingSender(MemoryTopic(topic_id="second")))
    assert result.sent == 44


def test_a_topic_that_lost_the_last_messages_is_an_error_with_a_way_out(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic()
    with pytest.raises(Killed):
        replayed(tmp_path / "home", paths, sender=RecordingSender(topic, dies_at_send=30))
    topic.logs = [[] for _ in range(3)]
    with pytest.raises(BrokerError, match="no longer holds what was sent last"):
        replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    assert replayed(tmp_path / "home", paths, sender=RecordingSender(topic), again=True).sent == 44


def test_files_that_changed_since_are_named_before_anything_is_sent(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic()
    replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    write_lines(paths / "c.csv", [line("06-02 00:00:00")])
    with pytest.raises(InputError, match=r"c.csv: changed since this replay began \(from absent to 86 bytes\)"):
        replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    (paths / "c.csv").unlink()
    size = (paths / "a.csv").stat().st_size
    write_lines(paths / "a.csv", [line("06-02 00:00:00")])
    with pytest.raises(InputError, match=rf"a.csv: changed since this replay began \(from {size} bytes to 86 bytes\)"):
        replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    assert len(topic.texts) == 44


def test_the_ledger_of_a_resumed_replay_is_that_of_a_whole_one(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic()
    with pytest.raises(Killed):
        replayed(tmp_path / "home", paths, sender=RecordingSender(topic, dies_at_send=25), faults=FAULTS)
    resumed = replayed(tmp_path / "home", paths, sender=RecordingSender(topic), faults=FAULTS)
    alone = replayed(tmp_path / "home2", paths, sender=RecordingSender(MemoryTopic()), faults=FAULTS)
    assert resumed.ledger.read_text() == alone.ledger.read_text() != ""


def test_a_replay_that_runs_already_is_not_started_twice(tmp_path):
    paths = history(tmp_path)
    sender = RecordingSender(MemoryTopic())
    name = replay_id([str(paths)], FaultRates(), sender.destination)
    with (
        PositionFile(tmp_path / "home", name).locked(),
        pytest.raises(StoreError, match="this replay is running already"),
    ):
        replayed(tmp_path / "home", paths, sender=sender)


def test_a_damaged_position_is_an_error_not_a_new_start(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic()
    result = replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    (tmp_path / "home" / f"{result.replay_id}.json").write_text('{"run": ')
    with pytest.raises(StoreError, match=r"is damaged: .*; use --again"):
        replayed(tmp_path / "home", paths, sender=RecordingSender(topic))


def test_a_replay_is_known_by_paths_faults_and_topic_and_not_by_speed_or_seedless_faults(tmp_path):
    here = Destination("sessions", "id", "cluster", 3)
    name = replay_id(["/a/b", "/c"], FaultRates(), here)
    assert name == replay_id(["/c", "/a/x/../b"], FaultRates(seed=9), Destination("sessions", "id", "cluster", 5))
    others = [
        replay_id(["/a/b"], FaultRates(), here),
        replay_id(["/a/b", "/c"], FaultRates(late=0.1), here),
        replay_id(["/a/b", "/c"], FaultRates(late=0.1, seed=9), here),
        replay_id(["/a/b", "/c"], FaultRates(), Destination("other", "id", "cluster", 3)),
        replay_id(["/a/b", "/c"], FaultRates(), Destination("sessions", "id", "elsewhere", 3)),
    ]
    assert len({name, *others}) == 6


def test_the_position_on_disk_tells_how_far_it_came(tmp_path):
    paths, topic = history(tmp_path), MemoryTopic()
    result = replayed(tmp_path / "home", paths, sender=RecordingSender(topic))
    told = json.loads((tmp_path / "home" / f"{result.replay_id}.json").read_text())
    assert (told["state"], told["next_sequence"], told["partitions"]) == ("finished", 44, 3)
    assert told["offsets"] == {str(number): len(log) for number, log in enumerate(topic.logs)}
