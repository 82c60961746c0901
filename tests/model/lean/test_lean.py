"""svlm's own network against transformers' on the same checkpoint, in every form in which they are stored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_position_ids,
    get_vision_window_index,
)

from svlm_cli import ModelError, load_model
from svlm_cli.model.lean.config import VisionConfig, lean_config
from svlm_cli.model.lean.grid import joined, plan_of
from svlm_cli.model.lean.network import LeanNetwork
from svlm_cli.model.lean.tokenizer import plain_tokenizer
from svlm_cli.model.patches import Patches
from svlm_cli.model.runtime import VideoLanguageModel

WEIGHTS = "model.safetensors"
HEAVY = ("transformers", "torch._dynamo", "sympy", "accelerate", "peft", "huggingface_hub", "pandas", "av")


@pytest.fixture
def stored(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy whose configuration and weights may be changed."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in checkpoint.iterdir():
        if file.name != "result.json" and "seal" not in file.name:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


def published(folder: Path) -> None:
    """As Qwen publishes them: flat, in shards."""

    def flat(config: dict[str, Any]) -> None:
        text = config.pop("text_config")
        rope = text.pop("rope_parameters")
        text |= {"rope_theta": rope["rope_theta"]}
        text |= {"rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]}}
        del text["layer_types"], text["model_type"]
        config |= text
        del config["vision_config"]["rope_parameters"]

    change(folder, flat)
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in shards.items():
        save_file({name: weights[name] for name in own}, folder / file, {"format": "pt"})
    index = {name: file for file, own in shards.items() for name in own}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def renamed(folder: Path) -> None:
    """As transformers names them in memory, and some write them."""
    weights = load_file(folder / WEIGHTS)
    names = {"visual.": "model.visual.", "model.": "model.language_model."}
    moved = {
        names[name.split(".")[0] + "."] + name.partition(".")[2]: tensor for name, tensor in weights.items()
    }
    save_file(moved, folder / WEIGHTS, {"format": "pt"})


def untied(folder: Path) -> None:
    change(folder, lambda config: config.update(tie_word_embeddings=False))
    weights = load_file(folder / WEIGHTS)
    table = weights["model.embed_tokens.weight"]
    generator = torch.Generator().manual_seed(5)
    weights["lm_head.weight"] = torch.randn(table.shape, generator=generator).to(table.dtype)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def both(folder: Path, **how: Any) -> tuple[VideoLanguageModel, VideoLanguageModel]:
    ours = load_model(str(folder), device="cpu", packed=True, **how)
    assert isinstance(ours.network, LeanNetwork)
    return ours, load_model(str(folder), device="cpu", **how)


def logits(model: VideoLanguageModel, seed: int) -> list[torch.Tensor]:
    """After frames and words over a cache, and after each of a few words."""
    draw = np.random.default_rng(seed)
    grid = (2, 4 * int(draw.integers(2, 7)), 2 * int(draw.integers(3, 9)))
    generator = torch.Generator().manual_seed(seed)
    patch = model.patches.temporal_patch_size * 3 * model.patches.patch_size**2
    values = torch.randn(int(np.prod(grid)), patch, generator=generator)
    frames = model.encode_video(Patches(values, grid)).features
    cache, found = model.new_cache(16), [frames.float()]
    ids = draw.integers(0, model.network.config.text_config.vocab_size, 40).tolist()
    for rows in (
        model.embed(ids[:5]),
        torch.cat([frames, model.embed(ids[5:30])]),
        *map(model.embed, zip(ids[30:])),
    ):
        start = cache.num_tokens
        places = start + np.arange(len(rows)) + draw.integers(0, 3, (3, len(rows)))
        found.append(model.forward(rows, places.astype(float), cache).float())
    return found


@pytest.mark.parametrize("form", [lambda folder: None, published, renamed, untied])
def test_the_numbers_are_those_of_transformers(stored, form):
    form(stored)
    ours, theirs = both(stored)
    for seed in range(3):
        for found, wanted in zip(logits(ours, seed), logits(theirs, seed), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert ours.fingerprint() == theirs.fingerprint()


@pytest.mark.parametrize("how", [{"dtype": "bfloat16"}, {"quantize": "int8"}])
def test_other_formats_are_as_near_as_transformers_in_them(checkpoint, how):
    (ours, theirs), exact = both(checkpoint, **how), load_model(str(checkpoint), device="cpu")
    wanted = [logits(exact, seed)[-1] for seed in range(4)]
    errors = [
        sum(float((logits(model, seed)[-1] - wanted[seed]).norm()) for seed in range(4))
        for model in (ours, theirs)
    ]
    assert 0 < errors[0] <= 1.3 * errors[1]
    assert ours.fingerprint() == theirs.fingerprint()


ODD = {
    "a sliding window": lambda config: config["text_config"].update(
        use_sliding_window=True, sliding_window=8
    ),
    "RoPE of long contexts": lambda config: config["text_config"]["rope_parameters"].update(
        rope_type="yarn", factor=2.0, original_max_position_embeddings=4096
    ),
    "another activation": lambda config: config["vision_config"].update(hidden_act="gelu"),
}


@pytest.mark.parametrize("odd", list(ODD))
def test_what_is_not_plain_is_left_to_transformers(stored, odd):
    change(stored, ODD[odd])
    assert lean_config(json.loads((stored / "config.json").read_text())) is None
    opened = load_model(str(stored), device="cpu", packed=True)
    assert not isinstance(opened.network, LeanNetwork)


def test_tensors_of_another_network_are_left_to_transformers(stored):
    weights = load_file(stored / WEIGHTS)
    weights["value_head.weight"] = torch.zeros(3)
    save_file(weights, stored / WEIGHTS, {"format": "pt"})
    assert not isinstance(load_model(str(stored), device="cpu", packed=True).network, LeanNetwork)
    del weights["value_head.weight"], weights["model.norm.weight"]
    save_file(weights, stored / WEIGHTS, {"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 weights"):
        load_model(str(stored), device="cpu", packed=True)


@pytest.mark.parametrize("place", ["visual.blocks.1.mlp.up_proj.bias", "model.embed_tokens.weight"])
def test_a_number_that_is_none_is_found(stored, place):
    weights = load_file(stored / WEIGHTS)
    weights[place].view(-1)[7] = float("nan")
    save_file(weights, stored / WEIGHTS, {"format": "pt"})
    with pytest.raises(ModelError, match=f"damaged.*{place}"):
        load_model(str(stored), device="cpu", packed=True)


@pytest.mark.parametrize("seed", range(12))
def test_plans_are_those_of_transformers(seed):
    draw = np.random.default_rng(seed)
    merge, patch = (2, 14) if seed % 3 else (4, 14)
    config = VisionConfig(1, 64, 64, 2, 64, patch, merge, 2, 112, (0,), 2, 10000.0, 3)
    grids = [
        (int(draw.integers(1, 4)), merge * int(draw.integers(1, 14)), merge * int(draw.integers(1, 14)))
        for _ in range(1 + seed % 3)
    ]
    plan, given = joined([plan_of(config, grid) for grid in grids]), torch.tensor(grids)
    index, windows = get_vision_window_index(given, merge, 112, patch)
    assert torch.equal(plan.order, index)
    assert torch.equal(plan.windows, windows.long())
    assert torch.equal(plan.whole, get_vision_cu_seqlens(given).long())
    assert torch.equal(plan.back, index.argsort())
    places = get_vision_position_ids(given, merge).view(len(index), -1, 2)[index].flatten(0, 1)
    angles = (places[..., None] / 10000.0 ** (torch.arange(0, 16, 2) / 16)).flatten(1)
    torch.testing.assert_close(plan.cos[:, 0], angles.cos())
    torch.testing.assert_close(plan.sin[:, 0], angles.sin())


@pytest.mark.parametrize("kind", ["TokenizersBackend", "Qwen2Tokenizer"])
def test_tokens_are_those_of_transformers(stored, kind):
    import transformers

    path = stored / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": kind}))
    written = json.loads((stored / "tokenizer.json").read_text())
    written["model"]["ignore_merges"] = False  # as Qwen publishes it
    (stored / "tokenizer.json").write_text(json.dumps(written))
    ours, theirs = plain_tokenizer(stored), transformers.AutoTokenizer.from_pretrained(stored)
    assert ours is not None
    assert ours.unk_token_id == theirs.unk_token_id
    draw = np.random.default_rng(3)
    letters = list("abc DEé\u0301ß\n\r\t 0123'll<|im_end|>…中文🎥\u200d.,")
    texts = [
        "",
        "<|im_start|>user\n<|vision_start|>",
        *("".join(draw.choice(letters, 30)) for _ in range(60)),
    ]
    for text in texts:
        for split in (False, True):
            how: dict[str, bool] = {"add_special_tokens": False, "split_special_tokens": split}
            assert ours.encode(text, **how) == theirs.encode(text, **how)
    for _ in range(60):
        ids = draw.integers(0, len(theirs), 12).tolist()
        assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    for token in ("<|im_end|>", "<|video_pad|>", "there is none such"):
        assert ours.convert_tokens_to_ids(token) == theirs.convert_tokens_to_ids(token)


def test_a_tokenizer_that_its_configuration_changes_is_left_to_transformers(stored):
    path = stored / "tokenizer_config.json"
    said = json.loads(path.read_text())
    for more in (
        {"clean_up_tokenization_spaces": True},
        {"additional_special_tokens": ["<new>"]},
        {"tokenizer_class": "LlamaTokenizer"},
    ):
        path.write_text(json.dumps(said | more))
        assert plain_tokenizer(stored) is None


def test_several_streams_share_a_forward(checkpoint):
    ours, theirs = both(checkpoint)
    lengths, ids = [3, 1, 4], list(range(20, 28))
    found = []
    for model in (ours, theirs):
        caches = [model.new_cache(16) for _ in lengths]
        for cache, start in zip(caches, (4, 9, 2), strict=True):
            model.forward(model.embed(range(start)), np.tile(np.arange(start, dtype=float), (3, 1)), cache)
        places = np.concatenate([np.arange(4, 7), [9], np.arange(2, 6)]).astype(float)
        found.append(model.forward_shared(model.embed(ids), np.tile(places, (3, 1)), caches, lengths))
    torch.testing.assert_close(*found, rtol=0, atol=1e-5 * float(found[1].abs().max()))


def test_first_words_import_nothing_heavy():
    """Importing is most of what a start costs; ``benchmarks/start.py`` measures it."""
    program = f"""
import sys
from svlm_cli.cli import run
code = run(["stream", "arena:soccer?seed=7,minutes=0.05", "--fps", "2", "--json"])
print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert '"type": "step"' in done.stdout, done.stderr
    assert done.stderr.splitlines()[-1] == "0 []"
