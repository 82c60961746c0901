"""Lines of ``videos.jsonl`` stand in the order of the sources, whoever was first."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.data.fetch.folder import expand, fetch_all
from svlm_cli.data.fetch.one import FetchOptions
from svlm_cli.data.manifest import Manifest, Video
from svlm_cli.work.local import OneHand
from svlm_cli.work.place import Workplace


class Shuffled(OneHand[Any, Any]):
    """One hand that takes its jobs in an order of its own."""

    def __init__(self, hire: Any, seed: int) -> None:
        super().__init__(hire)
        self._draw = random.Random(seed)

    def add(self, jobs: Any) -> None:
        super().add(jobs)
        self._draw.shuffle(self._waiting)


class ShuffledPlace(Workplace):
    def crew(self, hire: Any, num_workers: int, **_: Any) -> Any:
        return Shuffled(hire, num_workers)


@pytest.mark.parametrize("seed", range(3))
def test_videos_stand_in_the_order_of_their_sources(
    tmp_path: Path, make_video: Callable[..., Path], seed: int
) -> None:
    (tmp_path / "list").mkdir()
    for number in range(5):
        make_video(tmp_path / "list" / f"game {number}.mp4", seconds=1 + number / 5)
    sources = expand([str(tmp_path / "list")])
    random.Random(seed).shuffle(sources)
    out = tmp_path / "out"
    came = [each.source for each in fetch_all(sources[:2], out)]
    came += [each.source for each in fetch_all(sources, out, FetchOptions(workers=1), place=ShuffledPlace())]
    assert came != sources[:2] + sources
    assert [video.title for video in Manifest(out).videos()] == [Path(source).stem for source in sources]
    assert not list(out.rglob("*.lock"))


@pytest.mark.parametrize("seed", range(5))
def test_other_lines_stay_where_they_are(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    manifest = Manifest(tmp_path)
    ids = [f"v{number}" for number in range(6)]
    for name in draw.sample([*ids, "x", "y"], 8):
        manifest.add(Video(name, name, "", "", f"videos/{name}.mp4", 1.0, 2, 2, 25.0, False, "", ""))
        if draw.random() < 0.3:
            with (tmp_path / "videos.jsonl").open("a") as file:
                file.write("no video\n")
    lines = (tmp_path / "videos.jsonl").read_text().splitlines()
    manifest.arrange(ids)
    arranged = (tmp_path / "videos.jsonl").read_text().splitlines()
    assert sorted(arranged) == sorted(lines)
    others = [number for number, line in enumerate(lines) if '"id": "v' not in line]
    assert [arranged[number] for number in others] == [lines[number] for number in others]
    assert [video.id for video in Manifest(tmp_path).videos() if video.id in ids] == ids
