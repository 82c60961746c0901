"""Checkpoints as they exist: what opens is what transformers opens, and whatever else is refused.

The networks are tiny ones of the real class with random weights; the truth is transformers' own loading of
the folder before it was changed.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from svlm_cli.errors import ModelError
from svlm_cli.model.checkpoint.network import open_network
from svlm_cli.model.checkpoint.stored import check_stored, quantisation
from svlm_cli.sections import Checkpoint
from svlm_cli.train.published import model_config
from tests.model.checkpoint.tiny import CLASS, IDS, logits, tiny_network


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "whole"
    tiny_network().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


def opened(folder: Path) -> Any:
    """The network of a folder, through the doors that ``load_model`` takes."""
    config = json.loads((folder / "config.json").read_text())
    method = check_stored(folder, "x", config)
    return open_network(folder, "x", CLASS, torch.float32, "sdpa", method)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def put(folder: Path, tensors: dict[str, torch.Tensor], name: str = "model.safetensors") -> None:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name, {"format": "pt"})


def linears(tensors: dict[str, torch.Tensor]) -> list[str]:
    return sorted(key for key in tensors if key.endswith("_proj.weight") and "visual" not in key)


def as_modelopt(folder: Path) -> None:
    """ModelOpt's FP8: a scale for each linear layer."""
    tensors = weights(folder)
    for key in linears(tensors):
        scale = tensors[key].abs().max() / 448
        tensors[key] = (tensors[key] / scale).to(torch.float8_e4m3fn)
        tensors[f"{key}_scale"], tensors[key.replace("weight", "input_scale")] = scale, torch.tensor(1.0)
    put(folder, tensors)


MODELOPT = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}


@pytest.mark.parametrize("says", ["config.json", "hf_quant_config.json", "nothing"])
def test_modelopt_is_refused_wherever_it_says_so(copy: Path, says: str) -> None:
    as_modelopt(copy)
    if says == "config.json":
        edit(copy, quantization_config={"quant_method": "modelopt", "quant_algo": "FP8"})
    elif says == "hf_quant_config.json":
        (copy / says).write_text(json.dumps(MODELOPT))
    with pytest.raises(ModelError, match=r"is quantised.*16 or 32 bits"):
        opened(copy)


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq"),
        ({"quantization_config": {"load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "mlx"),
        ({"quantization_config": MODELOPT}, "modelopt"),
        ({"text_config": {"quantization_config": {"quant_method": "gptq"}}}, "gptq"),
        ({"quantization_config": {"bits": 3}}, "an unknown way"),
        ({"quantization_config": None, "text_config": {"hidden_size": 8}}, None),
    ],
)
def test_every_way_is_named_in_a_dry_run_too(copy: Path, config: dict[str, Any], method: str | None) -> None:
    assert quantisation(config) == method
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit(copy, **config | {"text_config": text | config.get("text_config", {})})
    if method is None:
        assert model_config(str(copy)).model_type == "qwen2_5_vl"
        return
    for look in (lambda: model_config(str(copy)), lambda: opened(copy)):
        with pytest.raises(ModelError, match=rf"is quantised \({method}\)") as raised:
            look()
        assert "download" not in str(raised.value)


@pytest.mark.parametrize("algorithm", [None, "FP8"])
def test_modelopt_may_say_that_it_quantised_nothing(copy: Path, algorithm: str | None) -> None:
    section = {"quant_algo": None, "kv_cache_quant_algo": algorithm, "exclude_modules": []}
    (copy / "hf_quant_config.json").write_text(json.dumps(MODELOPT | {"quantization": section}))
    if algorithm is None:
        assert opened(copy) is not None
    else:
        with pytest.raises(ModelError, match=r"is quantised \(modelopt\)"):
            opened(copy)


def test_a_head_of_its_own_stays_one_though_the_config_ties_it(copy: Path, tmp_path: Path) -> None:
    tensors = weights(copy)
    tensors["lm_head.weight"] = torch.randn(100, 64, generator=torch.Generator().manual_seed(1))
    put(copy, tensors)
    truth = getattr(transformers, CLASS).from_pretrained(copy, dtype=torch.float32).eval()
    ours = opened(copy)
    assert torch.equal(logits(ours), logits(truth))
    ours.save_pretrained(tmp_path / "again")
    assert torch.equal(logits(opened(tmp_path / "again")), logits(truth))


def _drop(folder: Path, dice: random.Random) -> None:
    tensors = weights(folder)
    del tensors[dice.choice(sorted(tensors))]
    put(folder, tensors)


def _rename(folder: Path, dice: random.Random) -> None:
    tensors = weights(folder)
    key = dice.choice(sorted(tensors))
    tensors[dice.choice(["_orig_mod.", "module."]) + key] = tensors.pop(key)
    put(folder, tensors)


def _integers(folder: Path, dice: random.Random) -> None:
    tensors = weights(folder)
    key = dice.choice(linears(tensors))
    tensors[key] = (tensors[key] * 1000).to(dice.choice([torch.int8, torch.uint8, torch.int32]))
    put(folder, tensors)


def _bare_float8(folder: Path, dice: random.Random) -> None:
    tensors = weights(folder)
    key = dice.choice(linears(tensors))
    tensors[key] = tensors[key].to(torch.float8_e4m3fn)
    put(folder, tensors)


def _other_shape(folder: Path, dice: random.Random) -> None:
    tensors = weights(folder)
    key = dice.choice([key for key in linears(tensors) if tensors[key].shape[0] != tensors[key].shape[1]])
    tensors[key] = tensors[key].T
    put(folder, tensors)


def _fewer_layers_told(folder: Path, dice: random.Random) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    layers = dice.choice([1, 2, 4])
    edit(folder, text_config=text | {"num_hidden_layers": layers, "layer_types": None})


def _scales(folder: Path, dice: random.Random) -> None:
    tensors = weights(folder)
    key = dice.choice(linears(tensors))
    tensors[key.replace("weight", dice.choice(["qzeros", "SCB", "scales", "weight_packed"]))] = torch.ones(4)
    put(folder, tensors)


def _unmerged(folder: Path, dice: random.Random) -> None:
    tensors = weights(folder)
    key = dice.choice(linears(tensors))
    rows, columns = tensors[key].shape
    tensors[key.replace("weight", "lora_A.default.weight")] = torch.ones(2, columns)
    tensors[key.replace("weight", "lora_B.default.weight")] = torch.ones(rows, 2)
    put(folder, tensors)


def _value_head(folder: Path, dice: random.Random) -> None:
    put(folder, weights(folder) | {f"{dice.choice(['v_head', 'score'])}.weight": torch.ones(1, 64)})


def _shards(folder: Path, dice: random.Random) -> dict[str, str]:
    tensors = weights(folder)
    keys = sorted(tensors)
    dice.shuffle(keys)
    half = dice.randrange(1, len(keys))
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name, part in zip(names, (keys[:half], keys[half:]), strict=True):
        put(folder, {key: tensors[key] for key in part}, name)
    (folder / "model.safetensors").unlink()
    where = {key: names[place >= half] for place, key in enumerate(keys)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where


def _one_name_in_two_shards(folder: Path, dice: random.Random) -> None:
    where = _shards(folder, dice)
    key = dice.choice(sorted(where))
    other = next(name for name in set(where.values()) if name != where[key])
    part = load_file(folder / other)
    put(folder, part | {key: torch.ones_like(load_file(folder / where[key])[key])}, other)


def _stale_index(folder: Path, dice: random.Random) -> None:
    gone = {key: f"model-0000{dice.randrange(1, 5)}-of-00004.safetensors" for key in weights(folder)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": gone}))


def _half_precision(folder: Path, dice: random.Random) -> None:
    put(folder, {key: tensor.to(torch.float64) for key, tensor in weights(folder).items()})
    edit(folder, dtype=dice.choice(["float16", "bfloat16", "auto", None]))


def _distributed(folder: Path, dice: random.Random) -> None:
    (folder / f"shard-00001-model-0000{dice.randrange(1, 3)}-of-00002.safetensors").write_bytes(b"")


def _adapter_beside(folder: Path, dice: random.Random) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": dice.randrange(9)}))


def _pointer(folder: Path, dice: random.Random) -> None:
    size = dice.randrange(1 << 20, 1 << 30)
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {size}\n"
    (folder / "model.safetensors").write_text(text)


def _other_file_told(folder: Path, dice: random.Random) -> None:
    name = dice.choice(
        ["../copy/model.safetensors", "adapter_model.bin", "/etc/model.safetensors", "x.safetensors"]
    )
    edit(folder, transformers_weights=name)


def _file_told(folder: Path, dice: random.Random) -> None:
    name = f"part{dice.randrange(9)}.safetensors"
    (folder / "model.safetensors").rename(folder / name)
    put(folder, {"lm_head.weight": torch.ones(100, 64)})
    edit(folder, transformers_weights=name)


REFUSED: dict[Callable[[Path, random.Random], object], str] = {
    _drop: "lacks 1 weights",
    _rename: "lacks 1 weights.*under another name",
    _integers: "is quantised, though",
    _bare_float8: "is quantised, though",
    _other_shape: "have not the shape",
    _fewer_layers_told: "has no place|lacks",
    _scales: "is quantised, though",
    _unmerged: "has no place",
    _one_name_in_two_shards: "twice",
    _distributed: "distributed checkpoint",
    _adapter_beside: "an adapter beside its weights",
    _pointer: "pointer of Git LFS.*git lfs pull",
    _other_file_told: "no safetensors|has no x.safetensors",
}
SAME = (_value_head, _shards, _stale_index, _half_precision, _file_told)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("change", REFUSED, ids=lambda each: each.__name__)
def test_what_would_open_as_something_else_is_refused(
    copy: Path, change: Callable[[Path, random.Random], object], seed: int
) -> None:
    change(copy, random.Random(seed))
    with pytest.raises(ModelError, match=REFUSED[change]) as raised:
        opened(copy)
    assert "\n" not in str(raised.value)
    assert "download it again" not in str(raised.value)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("change", SAME, ids=lambda each: each.__name__)
def test_what_is_the_same_opens(
    copy: Path, whole: Path, change: Callable[[Path, random.Random], object], seed: int
) -> None:
    change(copy, random.Random(seed))
    truth = getattr(transformers, CLASS).from_pretrained(whole, dtype=torch.float32).eval()
    assert torch.equal(logits(opened(copy)), logits(truth))


def test_a_torn_file_is_to_be_downloaded_again(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"cannot be opened.*download it again"):
        opened(copy)


def test_a_head_that_is_nowhere_has_a_hint(copy: Path) -> None:
    edit(copy, tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"lm_head.weight.*tie_word_embeddings"):
        opened(copy)


def test_a_recipe_names_what_its_base_lacks(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        model_config(Checkpoint(base=str(copy)).base)
    assert IDS.max() < 90
