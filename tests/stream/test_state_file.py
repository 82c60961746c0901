"""The form of a saved state: whatever else a file holds is refused in one line, and a kill leaves nothing."""

from __future__ import annotations

import json
import os
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from svlm_cli import Sampling, StreamSettings, load_model, open_source, stream_video
from svlm_cli.errors import StateError
from svlm_cli.files import remove_partials
from svlm_cli.stream import state_file
from svlm_cli.stream.controls import Controls
from svlm_cli.stream.state import StateKeeper, load_state
from svlm_cli.stream.state_file import CHECKSUM, HEADER, STATE_FORMAT, read_state, write_state
from tests.trust.forked import forked

MATCH = "arena:soccer,seed=5,minutes=2"
SMALL = StreamSettings(sink=8, text_window=16, vision_window=2, rounds=2, sampling=Sampling(greedy=True))


@pytest.fixture(scope="module")
def bundled():
    return load_model()


@pytest.fixture(scope="module")
def saved(bundled, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("state") / "stream.svlm"
    with open_source(MATCH) as source:
        controls = Controls(keeper=StateKeeper(path, outputs=lambda: {"x.vtt": 7}))
        list(stream_video(bundled, source, replace(SMALL, duration=4.0), controls=controls))
    return path


def test_safetensors_reads_what_is_written_here(saved: Path, tmp_path: Path) -> None:
    header, tensors = read_state(saved)
    assert header["format"] == STATE_FORMAT
    read = load_file(saved)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in read)
    assert any(tensor.dtype == torch.bool for tensor in read.values())
    write_state(tmp_path / "again", header, tensors)
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


ABSURD = {
    "a list": "[]",
    "nothing": "",
    "no JSON": "{",
    "no form": "{}",
    "a form that is no number": '{"format": "3"}',
    "only a form": f'{{"format": {STATE_FORMAT}}}',
    "deep": "[" * 100_000,
    "a long number": "1" * 5_000,
    "too much": '{"format": 1e999}',
    "half a surrogate pair": '{"format": 3, "source": "\\ud83d"}',
}


@pytest.mark.parametrize("text", ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_header_with_the_right_checksum_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.svlm"
    save_file({}, path, {HEADER: text, CHECKSUM: f"{zlib.crc32(text.encode()):08x}"})
    with pytest.raises(StateError, match="not a state that svlm has saved, or it is damaged"):
        load_state(path)


WRONG: list[tuple[str, Any]] = [
    ("made_with", []),
    ("source", 7),
    ("reached_seconds", "4"),
    ("reached_seconds", float("nan")),
    ("reached_seconds", -1.0),
    ("saved_at", True),
    ("outputs", {"x.vtt": -1}),
    ("outputs", {"x.vtt": 1.5}),
    ("outputs", ["x.vtt"]),
    ("questions", [[1.0]]),
    ("questions", [["1", "who?"]]),
    ("questions", [None]),
    ("session", None),
    ("session.turn", -1),
    ("session.capacity", 10**400),
    ("session.capacity", "many"),
    ("session.grids", {"one": [1, 1, 1]}),
    ("session.grids", {"1": [1, 0, 1]}),
    ("session.spans", [[1, 2, 3]]),
    ("session.spans", [[1, 2, -3, None]]),
    ("session.spans", [[1, 2, True, None]]),
    ("session.base", "0"),
    ("session.end", float("inf")),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda each: str(each)[:20])
def test_a_field_that_is_not_what_it_should_be_is_refused(bundled, saved, tmp_path, name, value) -> None:
    header, tensors = read_state(saved)
    *outer, inner = name.split(".")
    (header["session"] if outer else header)[inner] = value
    refuse(bundled, tmp_path, header, tensors)


@pytest.mark.parametrize(
    "name", ["made_with", "source", "reached_seconds", "saved_at", "outputs", "questions"]
)
def test_a_field_that_lacks_is_refused(bundled, saved, tmp_path: Path, name: str) -> None:
    header, tensors = read_state(saved)
    del header[name]
    refuse(bundled, tmp_path, header, tensors)


@pytest.mark.parametrize("change", ["gone", "shorter", "reshaped", "emptied"])
def test_tensors_that_do_not_fit_are_refused(bundled, saved, tmp_path: Path, change: str) -> None:
    """Whichever it is: with a right checksum, as from another program."""
    header, tensors = read_state(saved)
    for name, tensor in tensors.items():
        others = dict(tensors)
        if change == "gone":
            del others[name]
        elif change == "shorter":
            others[name] = tensor[..., :-1].clone()
        elif change == "reshaped":
            others[name] = tensor[None].clone()
        else:
            others[name] = tensor.new_zeros(0)
        if tensor.shape != getattr(others.get(name), "shape", None):
            refuse(bundled, tmp_path, header, others)


def refuse(model, folder: Path, header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    path = folder / "x.svlm"
    write_state(path, header, tensors)
    with pytest.raises(StateError, match=r"damaged|does not fit the model"), open_source(MATCH) as source:
        list(stream_video(model, source, SMALL, controls=Controls(resume=load_state(path))))


def test_another_dtype_or_shape_of_the_same_bytes_is_seen(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    for name, (old, new) in {
        "context.ids": (b'"dtype": "I64"', b'"dtype": "U64"'),
        "cache.originals": (b'"shape": [', b'"shape":[ '),
    }.items():
        place = content.index(old, content.index(f'"{name}"'.encode()))
        changed = content[:place] + new + content[place + len(old) :]
        (tmp_path / "x").write_bytes(changed)
        if b"dtype" in new:
            with pytest.raises(StateError):
                load_state(tmp_path / "x")
        else:
            assert read_state(tmp_path / "x")[0] == read_state(saved)[0]


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(StateError, match="no ordinary file"):
            load_state(path)


def test_outputs_are_on_the_disk_before_the_state_that_counts_them(
    bundled, tmp_path: Path, monkeypatch
) -> None:
    """The order of a power cut's own making: lengths noted, outputs synced, then the state replaced."""
    happened: list[str] = []
    real = state_file.whole_file

    def noted(path: Path):
        happened.append("state")
        return real(path)

    monkeypatch.setattr(state_file, "whole_file", noted)
    keeper = StateKeeper(
        tmp_path / "s", 0.0, lambda: happened.append("lengths") or {}, lambda: happened.append("outputs")
    )
    with open_source(MATCH) as source:
        list(stream_video(bundled, source, replace(SMALL, duration=3.0), controls=Controls(keeper=keeper)))
    keeper.close()
    assert len(happened) >= 6
    for number, what in enumerate(("lengths", "outputs", "state")):
        assert set(happened[number::3]) == {what}


def test_a_state_whose_outputs_cannot_be_synced_is_not_saved(bundled, tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(5, "x.vtt: Input/output error")

    keeper = StateKeeper(tmp_path / "s", 60.0, dict, fail)
    with open_source(MATCH) as source:
        controls = Controls(keeper=keeper)
        events = list(stream_video(bundled, source, replace(SMALL, duration=2.0), controls=controls))
    assert any("x.vtt: Input/output error" in getattr(event, "message", "") for event in events)
    assert keeper.has_failed
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_killed_leaves_nothing_behind(saved: Path, tmp_path: Path) -> None:
    """Killed in mid-write: the state of before is whole, and the next start clears the rest."""
    header, tensors = read_state(saved)
    path = tmp_path / "s.svlm"
    write_state(path, header, tensors)
    before = path.read_bytes()
    for _ in range(20):
        child = forked(write_large, path)
        while len(os.listdir(tmp_path)) < 2 and child.is_alive():
            time.sleep(0.001)
        child.kill()
        child.join()
        if path.read_bytes() != before:  # too late
            write_state(path, header, tensors)
        elif len(os.listdir(tmp_path)) > 1:
            remove_partials(path)
            assert os.listdir(tmp_path) == [path.name]
            return
    pytest.fail("it was never killed in mid-write")


def write_large(path: Path) -> None:
    header, tensors = read_state(path)
    write_state(path, header, tensors | {"large": torch.zeros(30_000_000)})


def test_a_link_to_a_state_is_followed(saved: Path, tmp_path: Path) -> None:
    header, tensors = read_state(saved)
    (tmp_path / "link").symlink_to("real")
    write_state(tmp_path / "link", header, tensors)
    assert (tmp_path / "link").is_symlink()
    assert json.dumps(read_state(tmp_path / "real")[0]) == json.dumps(header)
