"""What a seal says of a folder, and what of it streaming looks at."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from svlm_cli.errors import ModelError
from svlm_cli.model.load import BUNDLED, load_model
from svlm_cli.model.seal import SEAL_FILE, check_files, check_weights, read_seal, write_seal

WEIGHTS = b"weights" * 1000


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "shards").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "shards" / "0.pt").write_bytes(b"moments")
    shutil.copy(BUNDLED / "config.json", folder)
    write_seal(folder, {"stage": "s"})
    return folder


def test_a_seal_lists_each_file_with_its_size_and_hash(sealed: Path) -> None:
    seal = read_seal(sealed)
    assert seal.made_from == {"stage": "s"}
    assert seal.files is not None
    assert {name: (file.num_bytes, file.sha256) for name, file in seal.files.items()} == {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in {
            "config.json": (BUNDLED / "config.json").read_bytes(),
            "model.safetensors": WEIGHTS,
            "shards/0.pt": b"moments",
        }.items()
    }
    assert seal.weights == {"model.safetensors": hashlib.sha256(WEIGHTS).hexdigest()}
    check_files(sealed, seal)


def test_one_bit_is_found(sealed: Path) -> None:
    (sealed / "shards" / "0.pt").write_bytes(b"momentr")
    with pytest.raises(ModelError, match=r"0\.pt is damaged: its content is not what was sealed"):
        check_files(sealed, read_seal(sealed))
    check_weights(sealed, hashed=True)  # no weights
    (sealed / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"r")
    check_weights(sealed, hashed=False)  # of the same size
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        check_weights(sealed, hashed=True)


def test_a_seal_that_was_changed_is_damaged(sealed: Path) -> None:
    path = sealed / SEAL_FILE
    path.write_text(path.read_text().replace('"s"', '"t"'))
    with pytest.raises(ModelError, match="not what its own hash says"):
        read_seal(sealed)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"files": 3}'])
def test_what_is_no_seal_is_a_model_error(sealed: Path, content: bytes) -> None:
    (sealed / SEAL_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=SEAL_FILE):
        read_seal(sealed)


def test_a_seal_of_the_first_builds_lists_no_files(sealed: Path) -> None:
    (sealed / SEAL_FILE).write_text(json.dumps({"stage": "s"}))
    assert read_seal(sealed).files is None


def test_streaming_refuses_weights_of_another_size(sealed: Path) -> None:
    (sealed / "model.safetensors").write_bytes(WEIGHTS[:-7])
    for path in BUNDLED.glob("tokenizer*"):
        shutil.copy(path, sealed)
    with pytest.raises(ModelError, match="it has 6993 bytes, 7000 were sealed"):
        load_model(str(sealed), device="cpu")
