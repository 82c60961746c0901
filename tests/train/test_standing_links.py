"""Checkpoints and results that are links: the link goes, what it leads to stays whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from svlm_cli.model.seal import SEAL_FILE, check_files, read_seal, write_seal
from svlm_cli.train.checkpoints import remove
from svlm_cli.train.standing import clear, put_result


def sealed(folder: Path) -> Path:
    """A sealed folder with one file."""
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_text("precious")
    write_seal(folder, {"stage": "sft"})
    return folder


@pytest.mark.parametrize("name", ["checkpoint-3", "final", "final.before"])
def test_of_a_link_the_link_alone_goes(tmp_path: Path, name: str) -> None:
    elsewhere = sealed(tmp_path / "disk" / name)
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / name).symlink_to(elsewhere)
    clear(stage, None)
    remove(stage / "final.before")
    assert not list(stage.iterdir())
    assert (elsewhere / SEAL_FILE).is_file()
    check_files(elsewhere, read_seal(elsewhere))


@pytest.mark.parametrize("name", ["final", "final.before"])
def test_a_link_to_nothing_is_not_in_the_way_of_a_result(tmp_path: Path, name: str) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / name).symlink_to(tmp_path / "nowhere")
    clear(stage, None)
    put_result(sealed(stage / "final.partial"), stage / "final")
    assert [path.name for path in stage.iterdir()] == ["final"]
    check_files(stage / "final", read_seal(stage / "final"))
