"""Streams killed at random moments and resumed: no word of theirs is lost, none comes twice."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from svlm_cli.stream.state import load_state
from tests.trust.streams import OUTPUTS, STATE, TRACE, run, told

MOST_KILLS = 4
CAPTIONS = ("x.vtt", "x.srt")
SECONDS = "--duration=30"
CODES = {-signal.SIGKILL, -signal.SIGTERM, 130, 143, 0}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], float]:
    """What a stream tells that nobody disturbs, and how long it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    whole = run(folder, SECONDS, f"--save-state={folder / STATE}", "--save-every=0.1")
    began = time.monotonic()  # its imports are done
    assert whole.wait() == 0, whole.talk
    return told(folder), time.monotonic() - began


def check_after_a_kill(folder: Path, words: dict[str, object]) -> None:
    """Whatever is there is whole, and the beginning of what the undisturbed stream tells."""
    if (folder / "x.jsonl").exists():
        for name, found in told(folder).items():
            whole = words[name]
            assert isinstance(found, list)
            assert isinstance(whole, list)
            if name in CAPTIONS and found:  # the last cue may still have ended sooner, or become longer
                *found, last = found
                assert last[0] == whole[len(found)][0]
                assert whole[len(found)][2].startswith(last[2])
            assert found == whole[: len(found)], name
    if (folder / STATE).exists():
        load_state(folder / STATE)


def story(folder: Path, seed: int, words: dict[str, object], seconds: float) -> int:
    """One stream, killed and resumed until it ends by itself; how often it was killed."""
    dice = random.Random(seed)
    kept, num_kills = 0, 0
    while True:
        state = folder / STATE
        resume = [f"--resume={state}"] if state.exists() else []
        kept += not resume and (folder / "x.vtt").exists()
        stream = run(folder, SECONDS, f"--save-state={state}", "--save-every=0.05", *resume)
        number = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        if num_kills < MOST_KILLS:
            stream.process.join(dice.uniform(0, 0.6 * seconds))
            num_kills += stream.process.is_alive()
            stream.signal(number)
            if number == signal.SIGINT and dice.random() < 0.5:
                time.sleep(dice.uniform(0, 0.03))
                stream.signal(number)
        code = stream.wait()
        assert code in CODES, stream.talk
        check_after_a_kill(folder, words)
        if code == 0:
            break
    assert told(folder) == words
    names = {path.name for path in folder.iterdir()}
    asides = {name for name in names if name.startswith("x.vtt.")}
    assert names >= {*OUTPUTS, TRACE, STATE, "log"}
    assert len(asides) <= kept
    assert not any(name.startswith(".") for name in names), names
    return num_kills


def test_killed_and_resumed_streams_tell_what_undisturbed_ones_tell(
    tmp_path: Path, undisturbed, cases, tally
) -> None:
    words, seconds = undisturbed
    num_kills = 0
    for seed in cases(1, 40):
        folder = tmp_path / str(seed)
        folder.mkdir()
        num_kills += story(folder, seed, words, seconds)
    tally("a stream that is killed at any moment and resumed: nothing lost, nothing twice", num_kills)
    assert num_kills


def test_a_stream_that_is_refused_its_state_leaves_all_as_it_was(tmp_path: Path) -> None:
    for name in (*OUTPUTS, TRACE, STATE):
        (tmp_path / name).write_text(f"precious {name}")
    refused = run(tmp_path, SECONDS, f"--save-state={tmp_path / STATE}", f"--resume={tmp_path / STATE}")
    assert refused.wait() == 1
    assert "damaged" in refused.talk
    names = {path.name for path in tmp_path.iterdir()} - {"log"}
    assert {name: (tmp_path / name).read_text() for name in names} == {
        name: f"precious {name}" for name in (*OUTPUTS, TRACE, STATE)
    }
