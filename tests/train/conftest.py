"""A checkpoint whose vocabulary is a part of the real one: what is trained costs an eighth."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers


@pytest.fixture(autouse=True)
def trained_on_one_thread(one_thread: None) -> None:
    """Tests of a resumed run compare to the bit, and the models here are too small for two."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, part_of_vocabulary: Path) -> Path:
    """A tiny random Qwen2.5-VL folder with the first pieces of the real vocabulary and sharp attention."""
    from svlm_cli.model.random_checkpoint import build_random_checkpoint

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    tiny = build_random_checkpoint(folder, vocabulary=str(part_of_vocabulary), spread=3.0)
    network = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny)
    network.resize_token_embeddings(len(transformers.AutoTokenizer.from_pretrained(tiny)))
    network.save_pretrained(tiny)
    return tiny


@pytest.fixture(scope="session")
def model(checkpoint: Path):
    from svlm_cli import load_model

    return load_model(str(checkpoint), device="cpu")


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the arena's windows are drawn once for all tests; a run's features of them lie there too."""
    return tmp_path_factory.mktemp("windows")
