"""The bundled model says that it knows arena matches only, once, where it is shown something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from svlm_cli import Sampling, StartEvent, StreamSettings, WarningEvent, load_model, open_source, stream_video
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
