"""The terminal of several channels: as many lines as leave room for words, drawn a few times a second."""

from __future__ import annotations

import io

from svlm_cli.commands.stream import channels_view
from svlm_cli.commands.stream.channels_view import ChannelsView
from svlm_cli.types import EndEvent, StepEvent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def step(lag: float) -> StepEvent:
    return StepEvent(3, 3.0, 4.0, "pass by red Foxes", 2, 4, 9, 1, lag_seconds=lag)


def view_of(names: list[str], monkeypatch) -> ChannelsView:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setattr(channels_view, "UPDATE_SECONDS", 0.0)
    return ChannelsView(names, out=Terminal(), err=Terminal())


def test_forty_channels_leave_room_and_the_late_are_among_those_shown(monkeypatch) -> None:
    names = [f"camera-{n}" for n in range(40)]
    with view_of(names, monkeypatch) as view:
        for n, name in enumerate(names[:-1]):
            view.show(name, step(3.5 if n >= 36 else 0.1))
        view.show("camera-0", EndEvent(1, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 1, 0))
        lines = [line.plain for line in view._status()]
    assert len(lines) == 12
    shown = [line.split()[0] for line in lines[:-1]]
    assert shown == [*names[:8], *names[36:39]]
    assert lines[0].split()[1] == "ended"
    assert lines[-1] == "and 29 more, 1 waiting"


def test_long_names_keep_both_ends(monkeypatch) -> None:
    names = ["arena-soccer-seed-1-minutes-5", "arena-soccer-seed-2-minutes-9", "b"]
    with view_of(names, monkeypatch) as view:
        view.show("b", EndEvent(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0))
        lines = [line.plain.split() for line in view._status()]
    assert [line[0] for line in lines] == ["arena-soc…-minutes-5", "arena-soc…-minutes-9", "b"]
    assert [line[1] for line in lines] == ["waiting", "waiting", "ended"], "one that could not be opened too"


def test_steps_of_a_hundred_channels_are_drawn_a_few_times_a_second(monkeypatch) -> None:
    view = view_of([str(n) for n in range(100)], monkeypatch)
    monkeypatch.setattr(channels_view, "UPDATE_SECONDS", 60.0)
    drawn = []
    monkeypatch.setattr(ChannelsView, "_update", lambda self: drawn.append(1))
    with view:
        for n in range(100):
            view.show(str(n), step(0.0))
    assert len(drawn) == 1
