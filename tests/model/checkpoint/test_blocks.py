"""FP8 in blocks: multiplied out as its scales say, or refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from svlm_cli.errors import ModelError
from svlm_cli.model.checkpoint.stored import check_stored
from tests.model.checkpoint.test_stored import edit, linears, opened, put, weights
from tests.model.checkpoint.tiny import tiny_network


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    tiny_network().save_pretrained(tmp_path / "copy")
    return tmp_path / "copy"


def in_blocks(folder: Path, rows: int, columns: int, seed: int) -> dict[str, torch.Tensor]:
    """Linear layers in FP8, another scale for each block; the weights that they stand for."""
    tensors, exact = weights(folder), {}
    generator = torch.Generator().manual_seed(seed)
    for key in linears(tensors):
        height, width = tensors[key].shape
        scales = torch.rand(-(-height // rows), -(-width // columns), generator=generator) * 0.01 + 1e-3
        spread = scales.repeat_interleave(rows, 0).repeat_interleave(columns, 1)[:height, :width]
        small = (tensors[key] / spread).clamp(-448, 448).to(torch.float8_e4m3fn)
        exact[key], tensors[key], tensors[f"{key}_scale_inv"] = small.float() * spread, small, scales
    put(folder, tensors)
    edit(folder, quantization_config={"quant_method": "fp8", "weight_block_size": [rows, columns]})
    return exact


@pytest.mark.parametrize(("rows", "columns"), [(128, 128), (16, 32), (32, 16), (8, 4)])
def test_blocks_of_fp8_are_multiplied_out(copy: Path, rows: int, columns: int) -> None:
    exact = in_blocks(copy, rows, columns, rows)
    network = dict(opened(copy).named_parameters())
    assert len(exact) == 21
    for key, weight in exact.items():
        found = next(own for name, own in network.items() if name.endswith(key.removeprefix("model.")))
        torch.testing.assert_close(found, weight, atol=0, rtol=2**-7)


@pytest.mark.parametrize("left", ["none", "some", "other names"])
@pytest.mark.parametrize("seed", range(3))
def test_fp8_without_its_scales_is_refused(copy: Path, left: str, seed: int) -> None:
    """transformers would take the bare numbers for weights."""
    in_blocks(copy, 16, 16, seed)
    tensors = weights(copy)
    scales = sorted(key for key in tensors if key.endswith("_scale_inv"))
    gone = scales if left != "some" else random.Random(seed).sample(scales, 1 + seed)
    for key in gone:
        scale = tensors.pop(key)
        if left == "other names":
            tensors[key.removesuffix("_inv")] = scale
    put(copy, tensors)
    with pytest.raises(ModelError, match=r"is quantised \(fp8\), and .*weight has no scale") as raised:
        opened(copy)
    assert any(f"({key})" in str(raised.value) for key in gone)


@pytest.mark.parametrize(("rows", "columns"), [(48, 40), (64, 48), (40, 128), (31, 17)])
def test_blocks_that_do_not_divide_a_weight_are_refused(copy: Path, rows: int, columns: int) -> None:
    """transformers would take 64 rows in blocks of 48 for two blocks of 32."""
    in_blocks(copy, rows, columns, rows)
    with pytest.raises(ModelError, match=f"in blocks of {rows} x {columns} that do not divide model"):
        opened(copy)


def test_experts_in_one_tensor_are_refused(tmp_path: Path) -> None:
    """transformers knows no scales of theirs."""
    tiny_network("qwen3_vl_moe").save_pretrained(tmp_path)
    tensors = weights(tmp_path)
    fused = [key for key in tensors if ".experts." in key and key.endswith("_proj")]
    assert fused
    for key in fused:
        tensors[f"{key}_scale_inv"] = torch.ones(*tensors[key].shape[:-2], 1, 1)
        tensors[key] = tensors[key].to(torch.float8_e4m3fn)
    put(tmp_path, tensors)
    edit(tmp_path, quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]})
    with pytest.raises(ModelError, match="with the experts of a layer in one tensor"):
        check_stored(tmp_path, "x", json.loads((tmp_path / "config.json").read_text()))
