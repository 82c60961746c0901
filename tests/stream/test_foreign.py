"""What a stream says once at its start: the bundled model knows arena matches only; a format is slow here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from svlm_cli import Sampling, StartEvent, StreamSettings, WarningEvent, load_model, open_source, stream_video
from svlm_cli.model import linear
from svlm_cli.stream.channels.opening import FOREIGN, foreign

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
@pytest.mark.parametrize(
    ("quantize", "by_torch"), [("none", False), ("int8", True), ("int8", False), ("int4", True)]
)
def test_a_format_without_kernels_is_told_once(
    has_kernels: bool, quantize: str, by_torch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_source("arena:soccer,seed=7,minutes=1") as source:
        opened = replace(load_model(), quantize=quantize)
        monkeypatch.setattr(linear, "byte_kernels", lambda: object() if has_kernels else None)
        monkeypatch.setattr(linear, "multiplies_bytes", lambda: by_torch)
        events = list(stream_video(opened, source, SETTINGS))
    told = [event.message for event in events if isinstance(event, WarningEvent)]
    is_slow = not has_kernels and quantize != "none" and not (quantize == "int8" and by_torch)
    assert [line.startswith(f"--quantize {quantize} saves memory and no time") for line in told] == [
        True
    ] * is_slow
