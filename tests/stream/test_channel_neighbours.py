"""Channels that come, go, hang, grow huge or cannot be saved, beside one that never notices."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from svlm_cli import (
    Controls,
    EndEvent,
    StateKeeper,
    StepEvent,
    WarningEvent,
    load_model,
    load_state,
    stream_video,
)
from svlm_cli.errors import NothingThereError, SourceError, UsageError
from svlm_cli.stream.channels.channel import Channel
from svlm_cli.stream.channels.rounds import Rounds

from .test_channels import SHOWN, Pictures, of, plain


@pytest.fixture(scope="module")
def bundled():
    return load_model(None, device="cpu")


def test_channels_come_and_go_while_others_run(bundled, tmp_path, one_thread) -> None:
    """Who is removed ends whole, who is added says what it says alone, and who stays never notices."""
    settings = replace(SHOWN, duration=None)
    alone = plain(stream_video(bundled, Pictures(seconds=12), settings))
    keeper = StateKeeper(tmp_path / "state")
    gone: list[str] = []

    def channel(name: str, seconds: int = 12, **more) -> Channel:
        return Channel(name, Pictures(seconds=seconds), settings, release=lambda: gone.append(name), **more)

    rounds = Rounds(bundled)
    rounds.add(channel("stays"))
    rounds.add(channel("leaves", controls=Controls(keeper=keeper)))
    with pytest.raises(UsageError, match="runs already"):
        rounds.add(channel("stays"))
    with pytest.raises(UsageError, match="no channel nobody"):
        rounds.remove("nobody")
    told: dict[str, list] = {"stays": [], "leaves": [], "comes": []}
    for each in rounds.events():
        told[each.channel].append(each.event)
        num_steps = len(of(told["stays"], StepEvent))
        if isinstance(each.event, StepEvent) and each.channel == "stays":
            if num_steps == 3:
                thread = threading.Thread(target=rounds.remove, args=("leaves",))
                thread.start()
                thread.join()
            if num_steps == 5:
                rounds.add(channel("comes", 3))
    assert plain(told["stays"]) == alone
    num_left = len(of(told["leaves"], StepEvent))
    assert 2 <= num_left <= 4
    assert isinstance(told["leaves"][-1], EndEvent)
    assert plain(told["leaves"]) == alone[: len(plain(told["leaves"]))]
    assert load_state(tmp_path / "state").reached_seconds == num_left
    assert of(told["comes"], StepEvent) == of(alone, StepEvent)[:3]
    assert sorted(gone) == ["comes", "leaves", "stays"]
    assert {each.name: each.condition for each in rounds.states()} == {"stays": "ended", "comes": "ended"}
    with pytest.raises(UsageError, match="have ended"):
        rounds.add(channel("late"))


def test_who_is_removed_before_the_first_round_ends_and_is_forgotten(bundled) -> None:
    rounds = Rounds(bundled)
    for name in ("stays", "leaves"):
        rounds.add(Channel(name, Pictures(), replace(SHOWN, duration=None)))
    rounds.remove("leaves")
    told = list(rounds.events())
    kinds = [type(each.event).__name__ for each in told if each.channel == "leaves"]
    assert (kinds[0], kinds[-1], "StepEvent" in kinds) == ("StartEvent", "EndEvent", False)
    assert [each.name for each in rounds.states()] == ["stays"]


def test_a_source_that_hangs_as_it_is_removed_holds_nobody_up(bundled) -> None:
    """Closing waits for the reader for seconds; the others' steps go on meanwhile."""
    settings = replace(SHOWN, duration=None)
    rounds = Rounds(bundled)
    let_go = threading.Event()

    class Hanging(Pictures):
        def clips(self, *args):
            yield from super().clips(*args)
            let_go.wait(20.0)

    rounds.add(Channel("hangs", Hanging(seconds=1), settings))
    rounds.add(Channel("well", Pictures(seconds=30, slow=0.02), settings))
    longest, before = 0.0, None
    for each in rounds.events():
        if each.channel == "well" and isinstance(each.event, StepEvent):
            if each.event.index == 4:
                rounds.remove("hangs")
            now = time.monotonic()
            longest, before = max(longest, 0.0 if before is None else now - before), now
        if isinstance(each.event, EndEvent) and each.channel == "well":
            let_go.set()
    assert longest < 1.0


def test_neighbours_that_stall_grow_huge_fail_to_save_and_leave(bundled, tmp_path, one_thread) -> None:
    """Who runs beside them says every word, and waits no longer than one of their steps takes."""
    settings = replace(SHOWN, duration=None)
    num = 14
    alone = plain(stream_video(bundled, Pictures(seconds=num), settings))

    class Stalls(Pictures):
        def clips(self, *args):
            for clip in super().clips(*args):
                time.sleep(1.5 if clip.index == 2 else 0.0)
                yield clip

    class Huge(Pictures):
        def clips(self, *args):
            for clip in super().clips(*args):
                large = np.zeros((2, 2400, 3600, 3), np.uint8) if clip.index > 1 else clip.frames
                yield replace(clip, frames=large)

    keeper = StateKeeper(tmp_path / "state", 0.0)
    (tmp_path / "state" / "in the way").mkdir(parents=True)
    rounds = Rounds(bundled)
    for name, source, more in (
        ("well", Pictures(seconds=num, slow=0.15), {}),
        ("stalls", Stalls(seconds=num), {}),
        ("huge", Huge(seconds=5), {}),
        ("unsaved", Pictures(seconds=num), {"controls": Controls(keeper=keeper)}),
        ("leaves", Pictures(seconds=num), {}),
    ):
        rounds.add(Channel(name, source, settings, **more))
    told: dict[str, list] = {name: [] for name in rounds.names()}
    gaps, before = [], None
    for each in rounds.events():
        told[each.channel].append(each.event)
        if each.channel == "well" and isinstance(each.event, StepEvent):
            now = time.monotonic()
            gaps.append(0.0 if before is None else now - before)
            before = now
            if each.event.index == 1:
                rounds.remove("leaves")
    assert plain(told["well"]) == plain(told["stalls"]) == alone
    assert of(told["unsaved"], StepEvent) == of(alone, StepEvent)
    assert any("could not be saved" in each.message for each in of(told["unsaved"], WarningEvent))
    assert len(of(told["huge"], StepEvent)) == 5
    assert 1 <= len(of(told["leaves"], StepEvent)) < num
    longest = max(each.timings.total for name in told for each in told[name] if isinstance(each, StepEvent))
    assert max(gaps[2:]) < 0.15 + 2 * longest + 0.5, "a stall of a second and a half is nobody else's"


def test_beginnings_that_fail_or_last_are_nobody_elses(bundled, one_thread) -> None:
    """Going to where a source begins: behind its end, into a still picture, or for seconds."""
    settings = replace(SHOWN, duration=None)
    alone = plain(stream_video(bundled, Pictures(seconds=20), settings))

    class Begins(Pictures):
        def __init__(self, error: Exception | None = None) -> None:
            super().__init__(seconds=2)
            self._at_once = error

        def clips(self, *args):
            if self._at_once is not None:
                raise self._at_once
            time.sleep(4.0)
            return super().clips(*args)

    errors = {
        "behind": NothingThereError("ends at 4 s"),
        "still": SourceError("too short"),
        "odd": OSError(5),
    }
    channels = [
        Channel("well", Pictures(seconds=20, slow=0.05), settings),
        Channel("far", Begins(), settings),
    ]
    channels += [Channel(name, Begins(error), settings) for name, error in errors.items()]
    rounds = Rounds(bundled)
    for each in channels:
        rounds.add(each)
    told: dict[str, list] = {each.name: [] for each in channels}
    began = time.monotonic()
    found = {}
    for each in rounds.events():
        told[each.channel].append(each.event)
        if isinstance(each.event, StepEvent) and each.channel == "well" and each.event.index == 0:
            first = time.monotonic() - began
        if isinstance(each.event, EndEvent):
            found[each.channel] = each.error
    assert plain(told["well"]) == alone
    assert len(of(told["far"], StepEvent)) == 2
    assert found == {"well": None, "far": None, **errors}
    assert first < 3.0, "nobody waits for another's beginning"


def test_who_leaves_is_saved_beside_the_others(bundled, tmp_path, monkeypatch) -> None:
    """A last state that takes two seconds to write is waited for by nobody but its channel."""
    from svlm_cli.stream import state

    write = state.write_state
    settings = replace(SHOWN, duration=None)
    monkeypatch.setattr(state, "write_state", lambda *content: time.sleep(2.0) or write(*content))
    rounds = Rounds(bundled)
    for name in ("leaves", "ends"):
        keeper = StateKeeper(tmp_path / name)
        source = Pictures(seconds=4 if name == "ends" else 60, slow=0.02)
        rounds.add(Channel(name, source, settings, controls=Controls(keeper=keeper)))
    rounds.add(Channel("well", Pictures(seconds=200, slow=0.02), settings))
    gaps, before, ended = [], None, {}
    for each in rounds.events():
        now = time.monotonic()
        if isinstance(each.event, EndEvent):
            ended[each.channel] = each.event.steps
        elif each.channel == "well" and isinstance(each.event, StepEvent):
            if each.event.index > 3:
                gaps.append(now - before)
            before = now
            if each.event.index == 10:
                rounds.remove("leaves")
            if len(ended) == 2:
                break
    assert max(gaps) < 1.5
    for name, num_steps in ended.items():
        assert load_state(tmp_path / name).reached_seconds == num_steps


def test_last_states_are_copied_a_few_at_once(bundled, tmp_path, monkeypatch) -> None:
    """Where all end together, memory holds a few caches twice, not all; every state is there."""
    from svlm_cli.stream import state

    write, lock, stop = state.write_state, threading.Lock(), threading.Event()
    at_once, most = 0, 0

    def slow(*content) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.2)
        write(*content)
        with lock:
            at_once -= 1

    rounds, settings = Rounds(bundled, stop), replace(SHOWN, duration=None)
    keepers = {str(number): StateKeeper(tmp_path / str(number), 1e6) for number in range(10)}
    for name, keeper in keepers.items():
        rounds.add(Channel(name, Pictures(seconds=999), settings, controls=Controls(keeper=keeper)))
    begun, ended = set(), {}
    for each in rounds.events():
        if isinstance(each.event, StepEvent) and each.event.index == 1:  # its first is saved
            begun.add(each.channel)
        if len(begun) == 10 and not stop.is_set():
            for keeper in keepers.values():
                keeper.close()  # first states are saved at once
            monkeypatch.setattr(state, "write_state", slow)
            stop.set()
        if isinstance(each.event, EndEvent):
            ended[each.channel] = each.event.steps
    assert 1 < most <= 4
    assert {name: load_state(tmp_path / name).reached_seconds for name in ended} == ended
    assert len(ended) == 10


def test_what_the_vision_thread_runs_into_is_told(bundled, monkeypatch) -> None:
    """Never a silent wait: every channel whose clip it had ends with the reason."""
    from svlm_cli.stream.channels import seeing

    def fails(_clips):
        raise MemoryError("no room")

    monkeypatch.setattr(seeing, "look_together", fails)
    rounds = Rounds(bundled)
    for name in "ab":
        rounds.add(Channel(name, Pictures(), replace(SHOWN, duration=None)))
    errors = {told.channel: told.error for told in rounds.events() if isinstance(told.event, EndEvent)}
    assert all("no room" in str(error) for error in errors.values())
    assert {state.condition for state in rounds.states()} == {"failed"}
