"""Channels over several devices: placed by free memory, each as on one device alone."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from svlm_cli import EndEvent, StepEvent, load_model, stream_video
from svlm_cli.cli import run
from svlm_cli.errors import UsageError
from svlm_cli.stream.channels.channel import Channel
from svlm_cli.stream.channels.devices import Spread

from .test_channels import SHOWN, Pictures, of, plain


@pytest.fixture(scope="module")
def models():
    return [load_model(None, device="cpu", threads=1) for _ in range(2)]


def test_each_says_what_it_says_alone_and_one_may_leave(models, one_thread) -> None:
    settings = replace(SHOWN, duration=None)
    alone = plain(stream_video(models[0], Pictures(seconds=8), settings))
    gone: list[str] = []
    spread = Spread(models)
    for name in "abcde":
        spread.add(Channel(name, Pictures(seconds=8), settings, release=lambda name=name: gone.append(name)))
    with pytest.raises(UsageError, match="runs already"):
        spread.add(Channel("c", Pictures(), settings))
    assert sorted(len(device.rounds) for device in spread._devices) == [2, 3]
    told: dict[str, list] = {name: [] for name in "abcde"}
    for each in spread.events():
        assert each.channel not in gone, "an event is taken before its channel is let go"
        told[each.channel].append(each.event)
        if each.channel == "b" and isinstance(each.event, StepEvent) and each.event.index == 2:
            spread.remove("b")
    assert sorted(gone) == list("abcde")
    assert all(isinstance(each[-1], EndEvent) for each in told.values())
    assert 3 <= len(of(told["b"], StepEvent)) < 8
    for name in "acde":
        assert plain(told[name]) == alone
    with pytest.raises(UsageError, match="have ended"):
        spread.add(Channel("late", Pictures(), settings))
    assert not [each for each in threading.enumerate() if each.name == "svlm-cpu"]


def test_most_memory_for_each(models) -> None:
    """80 GB beside 40: two of three go to the larger; the one that has filled up gets none."""
    sizes = iter([40.0, 80.0])
    free: dict[int, float] = {}

    def told(device: torch.device) -> float:
        return free[id(device)]

    spread = Spread(models, free=told)
    for each in spread._devices:
        each.where = torch.device("cpu")
        free[id(each.where)] = next(sizes)
    for number in range(9):
        spread.add(Channel(str(number), Pictures(), SHOWN))
    assert [len(each.rounds) for each in spread._devices] == [3, 6]
    free[id(spread._devices[1].where)] = 0.0
    spread.add(Channel("more", Pictures(), SHOWN))
    assert [len(each.rounds) for each in spread._devices] == [4, 6]


def test_the_command(capsys) -> None:
    games = ["arena:soccer,seed=3", "arena:soccer,seed=4"]
    small = ["--duration", "2", "--threads", "1", "--max-new-tokens", "4", "--json"]
    assert run(["stream", *games, "--device", "cpu,cpu", *small]) == 0
    assert capsys.readouterr().out.count('"type": "end"') == 2
    assert run(["stream", games[0], "--device", "cpu,cpu", *small]) == 2
    assert "several devices" in capsys.readouterr().err
    assert run(["stream", *games, "--device", "cpu,gpu", *small]) == 2
