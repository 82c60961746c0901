"""What was cloned without its content is named, whichever file it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from svlm_cli import ModelError, load_model

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 11422654\n"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
)
def test_a_pointer_is_said_to_be_one(checkpoint: Path, tmp_path: Path, name: str, packed: bool) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "copy")
    (folder / name).write_text(POINTER)
    with pytest.raises(ModelError, match=f"{name} of the model .* is a pointer of Git LFS") as raised:
        load_model(str(folder), device="cpu", packed=packed)
    assert raised.value.hint == "git lfs pull"
