"""Checkpoints whose weights have other names than those of today, or some that are no weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from svlm_cli.model.checkpoint.network import open_network
from svlm_cli.model.checkpoint.stored import check_stored
from svlm_cli.model.family.table import FAMILIES
from tests.model.checkpoint.tiny import logits, tiny_network


def opened(folder: Path, family: str) -> Any:
    config = json.loads((folder / "config.json").read_text())
    method = check_stored(folder, "x", config)
    return open_network(folder, "x", FAMILIES[family].class_name, torch.float32, "sdpa", method).eval()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def put(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


OLD_NAMES = [
    (r"^model\.language_model\.", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^model\.", ""),
]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", ["internvl", "llava_onevision", "smolvlm"])
def test_published_names_of_families_of_square_frames_open(family: str, tied: bool, tmp_path: Path) -> None:
    """As their folders on the hub have them; SmolVLM's are those of today."""
    network = tiny_network(family, tied=tied, seed=5)
    network.save_pretrained(tmp_path)
    tensors = weights(tmp_path)
    for pattern, name in OLD_NAMES if family != "smolvlm" else ():
        tensors = {re.sub(pattern, name, key): tensor for key, tensor in tensors.items()}
    put(tmp_path, tensors)
    found = opened(tmp_path, family)
    assert torch.equal(logits(found), logits(network))
    assert (found.lm_head.weight is found.get_input_embeddings().weight) == tied


def test_angles_that_a_file_holds_are_computed_anew(tmp_path: Path) -> None:
    network = tiny_network(seed=7)
    network.save_pretrained(tmp_path)
    tensors = weights(tmp_path)
    tensors["visual.rotary_pos_emb.inv_freq"] = torch.zeros(4)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(8)
    put(tmp_path, tensors)
    assert torch.equal(logits(opened(tmp_path, "qwen2_5_vl")), logits(network))
