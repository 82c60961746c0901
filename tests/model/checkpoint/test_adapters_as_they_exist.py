"""Adapters as people make them, merged here, against PEFT's own forward that adds them on the way.

Every adapter is drawn anew by a seed: ranks, scales and weights, in float64, where sums are not rounded. Old
names are what transformers before 4.52 called the modules; the truth is then the same adapter under today's.
"""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from svlm_cli.errors import ModelError
from svlm_cli.model.adapter import merge_adapter
from svlm_cli.model.family.table import FAMILIES
from tests.model.checkpoint.tiny import logits, tiny_network

LANGUAGE = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
JOINED = "|".join(LANGUAGE)
LLAMA_FACTORY = rf"^(?!.*patch_embed)(?!.*visual).*(?:{JOINED}).*"
MS_SWIFT = rf"^(model\.language_model(?=\.).*\.({JOINED}))$"
UNSLOTH = (
    r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?"
    rf"(?:{JOINED}).*?)|(?:\bmodel\.layers\.[\d]{{1,}}\.(?:self_attn|attention|attn|mlp)\.(?:(?:{JOINED})))"
)
KINDS: dict[str, dict[str, Any]] = {
    "list": {"target_modules": ["q_proj", "v_proj"]},
    "LLaMA-Factory": {"target_modules": LLAMA_FACTORY},
    "ms-swift": {"target_modules": MS_SWIFT},
    "unsloth": {"target_modules": UNSLOTH},
    "rsLoRA": {"target_modules": LANGUAGE, "use_rslora": True},
    "DoRA": {"target_modules": LANGUAGE, "use_dora": True},
    "PiSSA": {"target_modules": LANGUAGE, "init_lora_weights": "pissa"},
    "all-linear": {"target_modules": "all-linear"},
    "modules_to_save": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    "embeddings saved": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "merger saved": {"target_modules": ["q_proj"], "modules_to_save": ["merger"]},
    "trainable tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [3, 50, 7]},
    "tokens of a module": {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [3, 9]}},
    "bias all": {"target_modules": ["q_proj", "o_proj"], "bias": "all"},
    "bias lora_only": {"target_modules": ["q_proj", "qkv"], "bias": "lora_only"},
    "bias of LoRA": {"target_modules": ["q_proj", "v_proj"], "lora_bias": True},
    "rank pattern": {
        "target_modules": LANGUAGE,
        "rank_pattern": {"q_proj": 3, r"layers\.1\.mlp\.up_proj": 5},
    },
    "alpha pattern": {
        "target_modules": LANGUAGE,
        "alpha_pattern": {"o_proj": 1, r"layers\.0\..*up_proj": 31},
    },
    "some layers": {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [0, 2]},
    "excluded": {"target_modules": LANGUAGE, "exclude_modules": r".*visual.*|.*layers\.1\..*"},
    "tower with its convolution": {"target_modules": ["qkv", "proj"]},
    "norms saved": {"target_modules": ["q_proj"], "modules_to_save": ["input_layernorm", "norm"]},
    "DoRA, rsLoRA, patterns": {
        "target_modules": LANGUAGE,
        "use_dora": True,
        "use_rslora": True,
        "rank_pattern": {"^model.language_model.layers.1.self_attn.v_proj": 7},
        "alpha_pattern": {"q_proj": 9},
    },
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "both": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "tied adapters": {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
    "head and tokens": {"target_modules": ["q_proj", "lm_head"], "trainable_token_indices": [3, 50]},
    "DoRA on the head": {"target_modules": ["v_proj", "lm_head"], "use_dora": True},
}


@pytest.fixture(autouse=True)
def _as_peft_talks(one_thread: None) -> Iterator[None]:
    """PEFT warns of ties, and of the base's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def network_of(*, in_float32: bool = False, **options: Any) -> Any:
    """In float64, or in float32 and less sharp, for what is not there in float64."""
    network = tiny_network(**options, spread=1.0) if in_float32 else tiny_network(**options).double()
    network.set_experts_implementation("eager")  # the others have no float64
    return network


def trained(network: Any, seed: int, **options: Any) -> Any:
    """An adapter around a copy of a network with everything that it trains moved away from where it began."""
    dice = random.Random(seed)
    rank, alpha = dice.choice([2, 4, 6]), dice.choice([3, 8, 20])
    torch.manual_seed(seed)
    config = peft.LoraConfig(**{"r": rank, "lora_alpha": alpha, "init_lora_weights": False} | options)
    adapted = peft.get_peft_model(copy.deepcopy(network), config).eval()
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn_like(weight)
    return adapted


def stored(adapted: Any, folder: Path) -> Path:
    adapted.save_pretrained(str(folder))
    return folder


def merged(network: Any, folder: Path) -> Any:
    return merge_adapter(copy.deepcopy(network), folder, "base", network.dtype).eval()


def check(network: Any, adapted: Any, folder: Path) -> Any:
    """Logits of the merged network are PEFT's, and not those of the base."""
    whole, truth = merged(network, folder), logits(adapted)
    most = 1e-8 if truth.dtype is torch.float64 else 1e-5
    assert (logits(whole) - truth).abs().max() < most
    assert (logits(network) - truth).abs().max() > 1e-2
    return whole


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_peft(kind: str, tied: bool, tmp_path: Path) -> None:
    seed = sorted(KINDS).index(kind) + 100 * tied
    network = network_of(tied=tied, seed=seed, in_float32=kind == "PiSSA")
    adapted = trained(network, seed, **KINDS[kind])
    check(network, adapted, stored(adapted, tmp_path / "lora"))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_takes_adapters(family: str, tmp_path: Path) -> None:
    network = network_of(family=family, seed=3)
    adapted = trained(network, 3, target_modules="all-linear", exclude_modules=["lm_head"])
    check(network, adapted, stored(adapted, tmp_path / "lora"))


def test_experts_take_adapters_of_their_weights(tmp_path: Path) -> None:
    network = network_of(family="qwen3_vl_moe", seed=4)
    experts = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    adapted = trained(network, 4, target_modules=["q_proj"], target_parameters=experts)
    check(network, adapted, stored(adapted, tmp_path / "lora"))


def old_names(folder: Path, text: dict[str, str], visual: str = "visual.") -> None:
    """What the folder would hold, had transformers before 4.52 written it, or one of the text model alone."""

    def old(name: str) -> str:
        name = name.replace("model.visual.", visual)
        for new, before in text.items():
            name = name.replace(new, before)
        return name

    path, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    save_file({old(key): tensor for key, tensor in load_file(path).items()}, path)
    content = json.loads(config.read_text())
    for key in ("target_modules", "modules_to_save"):
        if isinstance(content[key], list):
            content[key] = [old(name) for name in content[key]]
    for key in ("rank_pattern", "alpha_pattern"):
        content[key] = {old(name): value for name, value in content[key].items()}
    config.write_text(json.dumps(content))


def renamed(folder: Path, pattern: str, name: str) -> None:
    path = folder / "adapter_model.safetensors"
    save_file({re.sub(pattern, name, key): tensor for key, tensor in load_file(path).items()}, path)


@pytest.mark.parametrize("family", ["smolvlm", "internvl", "llava_onevision"])
@pytest.mark.parametrize("names", ["before 4.52", "the text model alone", "its own name told"])
def test_other_names_in_families_of_square_frames(family: str, names: str, tmp_path: Path) -> None:
    is_text = names == "the text model alone"
    chosen = ["gate_proj", "o_proj"] if is_text else ["q_proj", "fc1", "up_proj"]
    network = network_of(family=family, seed=6)
    adapted = trained(network, 6, target_modules=chosen, exclude_modules=r".*vision.*" if is_text else None)
    folder = stored(adapted, tmp_path / "lora")
    if is_text:
        renamed(folder, r"model\.model\.(language|text)_model\.", "model.model.")
    elif names == "before 4.52":
        renamed(folder, r"model\.language_model\.", "language_model.model.")
        renamed(folder, r"model\.vision_tower\.", "vision_tower.")
    else:
        renamed(folder, r"(lora_[AB])\.weight", r"\1.default.weight")
    check(network, adapted, folder)


def test_two_tensors_of_one_place_are_refused(tmp_path: Path) -> None:
    network = network_of(seed=8)
    folder = stored(trained(network, 8, target_modules=["q_proj"]), tmp_path / "lora")
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    key = random.Random(8).choice(sorted(tensors))
    tensors[key.removeprefix("base_model.model.")] = tensors[key] + 1
    save_file(tensors, path)
    with pytest.raises(ModelError, match="are of one place"):
        merged(network, folder)


NAMES = {
    "before 4.52": {"model.language_model.": "model."},
    "the text model alone": {"model.model.language_model.": "model.", "model.language_model.": ""},
    "a language_model around": {"model.language_model.": "language_model.model."},
    "compiled": {"base_model.model.": "base_model.model._orig_mod."},
}
OLD = {
    "list": {"target_modules": LANGUAGE},
    "full names": {
        "target_modules": [f"model.language_model.layers.{layer}.self_attn.q_proj" for layer in range(3)],
        "rank_pattern": {"model.language_model.layers.1.self_attn.q_proj": 5},
        "alpha_pattern": {"model.language_model.layers.0.self_attn.q_proj": 60},
    },
    "saved": {
        "target_modules": ["o_proj"],
        "modules_to_save": ["model.language_model.embed_tokens", "lm_head"],
    },
    "DoRA, bias": {"target_modules": ["q_proj", "up_proj"], "use_dora": True, "bias": "lora_only"},
    "tower": {"target_modules": ["q_proj", "qkv", "attn.proj", "mlp.0"]},
    "embedding": {"target_modules": ["embed_tokens", "v_proj"]},
    "tokens": {"target_modules": ["v_proj"], "trainable_token_indices": {"embed_tokens": [1, 80]}},
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("kind", OLD)
def test_names_of_other_times_are_the_same_adapter(names: str, kind: str, tmp_path: Path) -> None:
    seed = 1000 + 10 * sorted(OLD).index(kind) + sorted(NAMES).index(names)
    network = network_of(seed=seed)
    adapted = trained(network, seed, **OLD[kind])
    folder = stored(adapted, tmp_path / "lora")
    before = sorted(load_file(folder / "adapter_model.safetensors"))
    old_names(folder, NAMES[names])
    assert sorted(load_file(folder / "adapter_model.safetensors")) != before
    check(network, adapted, folder)


@pytest.mark.parametrize(
    "pattern",
    [
        rf".*\.({JOINED})",
        rf"^(?!.*patch_embed).*(?:{JOINED}).*",
        ["gate_proj", "up_proj", "q_proj"],
        rf"^model.*\.(qkv|proj|{JOINED})$",
    ],
)
def test_a_pattern_may_match_a_tower_that_was_not_trained(pattern: Any, tmp_path: Path) -> None:
    network = network_of(seed=5)
    names = [each for each in LANGUAGE if isinstance(pattern, str) or each in pattern]
    adapted = trained(network, 5, target_modules=rf".*language_model.*\.({'|'.join(names)})")
    folder = stored(adapted, tmp_path / "lora")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"target_modules": pattern}))
    check(network, adapted, folder)


def test_an_untied_head_is_saved_as_one(tmp_path: Path) -> None:
    network = network_of(seed=8)
    assert network.lm_head.weight is network.model.language_model.embed_tokens.weight
    adapted = trained(network, 8, target_modules=["lm_head"])
    whole = check(network, adapted, stored(adapted, tmp_path / "lora"))
    whole.save_pretrained(tmp_path / "whole")
    again = type(network).from_pretrained(tmp_path / "whole", dtype=torch.float64).eval()
    assert (logits(again) - logits(whole)).abs().max() < 1e-5  # RoPE's angles are in float32
    plain = trained(network, 8, target_modules=["q_proj"])
    same = check(network, plain, stored(plain, tmp_path / "plain"))
    assert same.lm_head.weight is same.model.language_model.embed_tokens.weight


def _another_shape(folder: Path, dice: random.Random) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    key = dice.choice(sorted(key for key in tensors if "lora_" in key))
    rows, columns = tensors[key].shape
    tensors[key] = torch.zeros(dice.choice([(rows + 1, columns), (rows, columns - 1)]))
    save_file(tensors, folder / "adapter_model.safetensors")


def _a_tensor_less(folder: Path, dice: random.Random) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    del tensors[dice.choice(sorted(tensors))]
    save_file(tensors, folder / "adapter_model.safetensors")


def _a_layer_less(folder: Path, dice: random.Random) -> None:
    layer = dice.randrange(3)
    tensors = load_file(folder / "adapter_model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if f"layers.{layer}." not in key}
    save_file(kept, folder / "adapter_model.safetensors")


def _another_rank(folder: Path, dice: random.Random) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    changed = dice.choice([{"r": config["r"] + 1}, {"rank_pattern": {"q_proj": config["r"] * 2}}])
    (folder / "adapter_config.json").write_text(json.dumps(config | changed))


def _a_foreign_part(folder: Path, dice: random.Random) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    key = dice.choice(sorted(key for key in tensors if ".layers." in key))
    tensors[re.sub(r"layers\.\d", f"layers.{dice.randrange(3, 40)}", key)] = tensors[key].clone()
    save_file(tensors, folder / "adapter_model.safetensors")


def _other_patterns(folder: Path, dice: random.Random) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    other = dice.choice([["k_proj"], r".*visual.*", ["q_proj"]])
    (folder / "adapter_config.json").write_text(json.dumps(config | {"target_modules": other}))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "damage",
    [_another_shape, _a_tensor_less, _a_layer_less, _another_rank, _a_foreign_part, _other_patterns],
    ids=lambda each: each.__name__,
)
def test_what_does_not_fit_is_refused(
    damage: Callable[[Path, random.Random], None], seed: int, tmp_path: Path
) -> None:
    network = network_of(seed=seed)
    folder = stored(trained(network, seed, target_modules=["q_proj", "up_proj"]), tmp_path / "lora")
    if seed % 2:
        old_names(folder, NAMES["before 4.52"])
    damage(folder, random.Random(seed))
    with pytest.raises(ModelError, match="does not fit the model") as raised:
        merged(network, folder)
    assert "\n" not in str(raised.value)
    assert "name that with --model" not in str(raised.value)


def test_the_base_is_named_where_another_one_was_given(tmp_path: Path) -> None:
    network = network_of()
    folder = stored(trained(network, 0, target_modules=["q_proj"]), tmp_path / "lora")
    shutil.copy(folder / "adapter_config.json", tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "a/b"}))
    _another_shape(folder, random.Random(0))
    with pytest.raises(ModelError, match="it was trained on a/b: name that with --model"):
        merged(network, folder)
