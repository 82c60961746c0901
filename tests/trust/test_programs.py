"""Recordings joined end to end, whose clocks start again or leap, whose tracks are late, short or missing.

Each is a random program of parts; the truth is what ffmpeg's concat filter makes of the same parts. It lays
the longest track of each part end to end, svlm the pictures, where sound reaches no more than 0.3 s further.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random

import pytest

from svlm_cli.media.audio import listen
from svlm_cli.media.clock.timed import JUMP_SECONDS
from svlm_cli.media.file.pyav_reader import PyavPictures
from svlm_cli.media.file.reader import open_video
from svlm_cli.media.survey import survey
from tests.media.numbered import number_of, numbers_of, on_screen
from tests.media.programs import Part, bursts_of, concat_filter, joined, num_pictures, random_program

SEAM_SECONDS = 0.07


def leaps_of(parts: list[Part]) -> list[float]:
    """By how much the clocks of parts go on later, of which three are told."""
    moves = [b.clock + b.begins - a.clock - a.seconds for a, b in pairwise(parts)]
    return [move for move in moves if move > JUMP_SECONDS][:3]


def test_pictures_and_sound_lie_where_ffmpeg_puts_them(
    tmp_path: Path, cases: Callable[[int, int], range], tally: Callable[[str, int], None]
) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    for case in cases(8, 200):
        dice = Random(f"program {case}")
        parts = random_program(dice)
        folder = tmp_path / str(case)
        folder.mkdir()
        path = str(joined(parts, folder))
        truth = concat_filter(parts, folder)
        tolerance = SEAM_SECONDS * len(parts)
        pictures = PyavPictures(path)
        shown = [(each.start_seconds, number_of(each.rgb())) for each in pictures.pictures(0.0)]
        leaps = [float(each.split("by ")[1].split(" s ")[0]) for each in pictures.problems if "clock" in each]
        pictures.close()
        told = f"case {case}: {parts}"
        assert leaps == pytest.approx(leaps_of(parts), abs=2.5), told
        assert [number for _, number in shown] == [number for _, number in truth.pictures], told
        times = [at for at, _ in shown]
        for first, behind in pairwise(accumulate(map(num_pictures, parts), initial=0)):
            own, theirs = times[first:behind], [at for at, _ in truth.pictures[first:behind]]
            assert [at - own[0] for at in own] == pytest.approx(
                [at - theirs[0] for at in theirs], abs=1e-3
            ), told
        assert times == pytest.approx([at for at, _ in truth.pictures], abs=tolerance), told
        assert bursts_of(listen(path).samples) == pytest.approx(truth.bursts, abs=tolerance), told
        whole = survey(path)
        assert whole.end_seconds - whole.picture_seconds == pytest.approx(times[-1] + 0.1, abs=1e-6), told
        wanted = [dice.uniform(0, times[-1]) for _ in range(6)]
        with open_video(path) as reader:
            assert numbers_of(reader.frames_at(wanted)) == [
                shown[on_screen(times, at)][1] for at in wanted
            ], told
        shutil.rmtree(folder)
    tally(
        "joined recordings: pictures exact, sound within 0.3 s of ffmpeg's concat filter", len(cases(8, 200))
    )
