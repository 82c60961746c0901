"""What a stream says once at its start: the bundled model knows arena matches only; a format is slow here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from svlm_cli import Sampling, StartEvent, StreamSettings, WarningEvent, load_model, open_source, stream_video
from svlm_cli.model import linear
from svlm_cli.stream.channels import opening
from svlm_cli.stream.channels.opening import FOREIGN, foreign, slow_format

SETTINGS = StreamSettings(duration=2.0, sampling=Sampling(greedy=True, max_new_tokens=2))


@pytest.mark.parametrize(
    ("is_bundled", "is_arena", "times"), [(True, False, 1), (True, True, 0), (False, False, 0)]
)
def test_foreign_video_is_told_once(
    is_bundled: bool, is_arena: bool, times: int, tmp_path: Path, make_video: Callable[..., Path], model
) -> None:
    address = "arena:soccer,seed=7,minutes=1" if is_arena else str(make_video(tmp_path / "street.mp4"))
    with open_source(address) as source:
        opened = load_model() if is_bundled else model
        events = list(stream_video(opened, source, SETTINGS))
        assert [event.message for event in events if isinstance(event, WarningEvent)].count(FOREIGN) == times
        start = events[0]
        assert isinstance(start, StartEvent)
        assert start.settings["bundled"] is is_bundled
        assert start.settings["foreign"] is (times == 1)
        if times:  # a stream that goes on has been told
            assert list(foreign(opened, source, object(), 1.0)) == []  # type: ignore[arg-type]
            arena = replace(opened, is_bundled=False)
            assert list(foreign(arena, source, None, 1.0)) == []


@pytest.mark.parametrize("has_kernels", [True, False])
@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize(
    ("quantize", "by_torch"), [("none", False), ("int8", True), ("int8", False), ("int4", True)]
)
def test_a_format_that_saves_no_time_is_told_once(
    has_kernels: bool, is_compiled: bool, quantize: str, by_torch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of ours is compiled into a word, so that torch's own products are what is left there."""
    monkeypatch.setattr(linear, "byte_kernels", lambda: object() if has_kernels else None)
    monkeypatch.setattr(linear, "multiplies_bytes", lambda: by_torch)
    how = SimpleNamespace(compiled=True) if is_compiled else None
    model: Any = SimpleNamespace(quantize=quantize, word_forward=how)
    told = [event.message for event in slow_format(model, None, 0.0)]
    is_fast = (has_kernels and not is_compiled) or (quantize == "int8" and by_torch)
    assert len(told) == (quantize != "none" and not is_fast)
    for line in told:
        assert line.startswith(f"--quantize {quantize} saves memory and no time")
        assert ("--compile" in line) is is_compiled
    assert not [*slow_format(model, object(), 0.0)], "a stream that goes on has been told"  # type: ignore[arg-type]


def test_a_stream_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = load_model(quantize="int8")
    monkeypatch.setattr(opening, "has_products", lambda _quantize, *, traced: False)
    with open_source("arena:soccer,seed=7,minutes=1") as source:
        events = list(stream_video(opened, source, SETTINGS))
    (told,) = [event.message for event in events if isinstance(event, WarningEvent)]
    assert told.startswith("--quantize int8 saves memory and no time on this processor (kernels: ")
