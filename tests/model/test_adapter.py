"""Adapters against weights that were merged by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from svlm_cli import load_model
from svlm_cli.cli import app
from svlm_cli.errors import ModelError

RANK, ALPHA = 4, 12
TARGETS = r".*language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@pytest.fixture(scope="module")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random adapter that changes every linear layer of the language model."""
    network = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, init_lora_weights=False)
    torch.manual_seed(3)
    adapted = peft.get_peft_model(network, config)
    folder = tmp_path_factory.mktemp("adapter") / "lora"
    adapted.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def merged(checkpoint: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with W + alpha / r * B A in place of W, worked out here."""
    network = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    update = load_file(adapter / "adapter_model.safetensors")
    weights = dict(network.named_parameters())
    downs = [key for key in update if "lora_A" in key]
    assert len(downs) == 3 * 7
    with torch.no_grad():
        for down in downs:
            name = down.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
            weights[name] += ALPHA / RANK * update[down.replace("lora_A", "lora_B")] @ update[down]
    folder = tmp_path_factory.mktemp("merged") / "whole"
    network.save_pretrained(folder)
    for path in checkpoint.glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


def words(video: Path, *options: str) -> list[str]:
    """What a greedy stream says, second by second."""
    told = CliRunner().invoke(app, ["stream", str(video), "--greedy", "--json", "--quiet", *options])
    assert told.exit_code == 0, told.stderr
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert events[0]["adapter"] == (options[3] if "--adapter" in options else None)
    return [event["text"] for event in events if event["type"] == "step"]


def test_merged_weights_say_the_same(
    checkpoint: Path, adapter: Path, merged: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = make_video(tmp_path / "v.mp4", seconds=8.0)
    said = words(video, "--model", str(checkpoint), "--adapter", str(adapter))
    assert len(said) == 8
    assert said == words(video, "--model", str(merged))
    assert said != words(video, "--model", str(checkpoint))


def test_logits_are_pefts_own(checkpoint: Path, adapter: Path) -> None:
    network = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    unmerged = peft.PeftModel.from_pretrained(network, str(adapter)).eval()
    ours = load_model(str(checkpoint), adapter=str(adapter), device="cpu")
    ids = torch.randint(0, 16_000, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = unmerged(input_ids=ids).logits, ours.network(input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_bfloat16_weights_are_rounded_once(checkpoint: Path, adapter: Path, merged: Path) -> None:
    ours = load_model(str(checkpoint), adapter=str(adapter), device="cpu", dtype="bfloat16").network
    exact = load_model(str(merged), device="cpu").network
    for (name, weight), other in zip(ours.named_parameters(), exact.parameters(), strict=True):
        close = (weight.float() - other).abs() <= other.abs() * 2**-8 + 1e-9
        assert weight.dtype == torch.bfloat16
        assert close.float().mean() > 0.999, name
    rotary = ours.model.language_model.rotary_emb.inv_freq
    assert torch.equal(rotary, exact.model.language_model.rotary_emb.inv_freq)


def test_pixels_of_the_adapters_training_hold(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(adapter, tmp_path / "lora")
    (copy / "svlm.json").write_text('{"min_pixels": 3136, "max_pixels": 6272}')
    patches = load_model(str(checkpoint), adapter=str(copy), device="cpu").patches
    assert (patches.min_pixels, patches.max_pixels) == (3136, 6272)


def damage(folder: Path, what: str) -> None:
    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    stored = json.loads(config.read_text())
    tensors = load_file(weights)
    match what:
        case "no config":
            config.unlink()
        case "no weights":
            weights.unlink()
        case "pickled":
            weights.rename(folder / "adapter_model.bin")
        case "another kind":
            config.write_text(json.dumps(stored | {"peft_type": "PROMPT_TUNING"}))
        case "no JSON":
            config.write_text("{")
        case "damaged":
            weights.write_bytes(weights.read_bytes()[:100])
        case "other shapes":
            save_file({key: torch.zeros(2, 2) for key in tensors}, weights)
        case "other layers":
            config.write_text(json.dumps(stored | {"target_modules": ["absent_proj"]}))
        case "weights missing":
            save_file(dict(list(tensors.items())[2:]), weights)
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("no config", "has no adapter_config.json"),
        ("no weights", "has no weights"),
        ("pickled", "pickled weights only"),
        ("another kind", "of type PROMPT_TUNING"),
        ("no JSON", "cannot be read"),
        ("damaged", "cannot be opened"),
        ("other shapes", "does not fit the model"),
        ("other layers", "does not fit the model"),
        ("weights missing", "does not fit the model: 1 of its modules"),
    ],
)
def test_each_thing_that_is_wrong_has_its_message(
    what: str, told: str, checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(adapter, tmp_path / "lora")
    damage(copy, what)
    with pytest.raises(ModelError, match=told):
        load_model(str(checkpoint), adapter=str(copy), device="cpu")


def test_a_checkpoint_is_no_adapter_and_an_adapter_no_checkpoint(checkpoint: Path, adapter: Path) -> None:
    with pytest.raises(ModelError, match=r"whole checkpoint.*--model"):
        load_model(str(checkpoint), adapter=str(checkpoint), device="cpu")
    with pytest.raises(ModelError, match=f"--model {checkpoint} --adapter"):
        load_model(str(adapter), device="cpu")
    with pytest.raises(ModelError, match="no model folder"):
        load_model(str(checkpoint), adapter="./absent", device="cpu")
