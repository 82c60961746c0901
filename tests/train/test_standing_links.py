"""Checkpoints and results that are links, or that nobody may look into."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from svlm_cli.errors import ModelError
from svlm_cli.model.seal import SEAL_FILE, check_files, read_seal, write_seal
from svlm_cli.train.checkpoints import remove
from svlm_cli.train.standing import clear, find_standing, named_standing, put_result


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


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder for anybody, used by a user who may not look into everything."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        yield Path(name)
        os.seteuid(before)


def test_a_checkpoint_that_nobody_may_look_into_is_passed_over(open_folder: Path) -> None:
    checkpoint = sealed(open_folder / "stage" / "checkpoint-3")
    checkpoint.chmod(0)
    try:
        with pytest.raises(ModelError, match="cannot be read"):
            named_standing(checkpoint, {})
        standing = find_standing(checkpoint.parent, {}, follows_a_run=False)
    finally:
        for folder in checkpoint.parent.iterdir():
            folder.chmod(0o755)
    assert standing.checkpoint is None
    assert "Permission denied" in standing.told[0]
    assert "kept as damaged-checkpoint-3" in standing.told[0]
