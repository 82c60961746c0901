"""svlm's own network for Qwen3-VL against transformers' on random checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

from svlm_cli import Policy, Sampling, StreamSession, StreamSettings, load_model
from svlm_cli.bench.speed.floor import Floor, watched
from svlm_cli.model.family.random_config import family_tokenizer, random_config
from svlm_cli.model.family.table import FAMILIES
from svlm_cli.model.lean.config import DeepVisionConfig, lean_config
from svlm_cli.model.lean.grid import interpolated, plan_of
from svlm_cli.model.lean.network import LeanNetwork
from svlm_cli.model.patches import Patches
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import PlacedFrames, deep_features, place_frames
from tests.stream.engine import clips

FAMILY = "qwen3_vl"
Change = Callable[[Any], object]


def written(folder: Path, tokenizer: Any, seed: int, change: Change = id) -> Path:
    """A checkpoint of random sizes whose norms and biases are random too."""
    draw = np.random.default_rng(seed)
    fitted = family_tokenizer(tokenizer, FAMILY)
    config = random_config("tiny", FAMILY, fitted)
    text, vision = config.text_config, config.vision_config
    side = int(draw.integers(2, 9))
    text.head_dim = 4 * side
    most = 2 * side // 3
    text.rope_parameters["mrope_section"] = [2 * side - 2 * most, most, most]
    vision.depth = int(draw.integers(1, 5))
    num_deep = int(draw.integers(0, vision.depth + 1))
    chosen = draw.choice(vision.depth, num_deep, replace=False)
    vision.deepstack_visual_indexes = sorted(int(each) for each in chosen)
    vision.num_position_embeddings = int(draw.integers(2, 12)) ** 2
    config.tie_word_embeddings = text.tie_word_embeddings = bool(seed % 2)
    change(config)
    torch.manual_seed(seed)
    network = getattr(transformers, FAMILIES[FAMILY].class_name)(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape) * (0.06 if weight.ndim > 1 else 0.3))
    network.save_pretrained(folder)
    fitted.save_pretrained(folder)
    return folder


def both(folder: Path, **how: Any) -> tuple[VideoLanguageModel, VideoLanguageModel]:
    ours = load_model(str(folder), device="cpu", packed=True, **how)
    assert isinstance(ours.network, LeanNetwork)
    return ours, load_model(str(folder), device="cpu", **how)


@torch.inference_mode()
def logits(model: VideoLanguageModel, seed: int) -> list[torch.Tensor]:
    """What the tower makes of two clips, and logits after frames and words over a cache."""
    draw = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    grids = [
        (int(draw.integers(1, 3)), 2 * int(draw.integers(1, 9)), 2 * int(draw.integers(1, 9))) for _ in "ab"
    ]
    values = model.patches.temporal_patch_size * 3 * model.patches.patch_size**2
    seen = model.encode_videos(
        [Patches(torch.randn(int(np.prod(grid)), values, generator=generator), grid) for grid in grids]
    )
    cache, found = model.new_cache(16), [video.features.float() for video in seen]
    ids = draw.integers(0, model.network.config.text_config.vocab_size, 12).tolist()
    for video in seen:
        start, count = cache.num_tokens, len(video.features)
        rows = model.embed([*ids[:3], *[0] * count, *ids[3:5]])
        blocks = [PlacedFrames(3, video.features, video.deep)]
        place_frames(rows, blocks)
        places = start + np.arange(len(rows)) + draw.integers(0, 3, (3, len(rows)))
        fed = model.forward(rows, places.astype(float), cache, deep_features(len(rows), blocks))
        found.append(fed.float())
    word = model.forward(model.embed(ids[-1:]), np.full((3, 1), cache.num_tokens + 2.0), cache)
    return [*found, word.float()]


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_those_of_transformers(model, tmp_path, seed):
    ours, theirs = both(written(tmp_path, model.tokenizer, seed))
    for each in range(2):
        for found, wanted in zip(logits(ours, each), logits(theirs, each), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert ours.fingerprint() == theirs.fingerprint()


@pytest.mark.parametrize("how", [{"dtype": "bfloat16"}, {"quantize": "int8"}])
def test_other_formats_are_as_near_as_transformers_in_them(model, tmp_path, how):
    folder = written(tmp_path, model.tokenizer, 5)
    (ours, theirs), exact = both(folder, **how), load_model(str(folder), device="cpu")
    wanted = [logits(exact, seed)[-1] for seed in range(4)]
    errors = [
        sum(float((logits(each, seed)[-1] - wanted[seed]).norm()) for seed in range(4))
        for each in (ours, theirs)
    ]
    assert 0 < errors[0] <= 1.3 * errors[1]
    assert ours.fingerprint() == theirs.fingerprint()


def test_features_added_behind_the_last_layer(model, tmp_path):
    """Then the last layer may not see its last row alone: that one may be a frame's."""

    def deep(config: Any) -> None:
        config.text_config.num_hidden_layers = 2
        config.vision_config.depth = 3
        config.vision_config.deepstack_visual_indexes = [0, 1, 2]

    ours, theirs = both(written(tmp_path, model.tokenizer, 6, deep))
    for found, wanted in zip(logits(ours, 1), logits(theirs, 1), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("policy", [Policy.STREAMING, Policy.RECOMPUTE])
def test_a_stream_says_the_same_words(model, tmp_path, policy):
    folder = written(tmp_path, model.tokenizer, 7)
    sampling = Sampling(greedy=True, max_new_tokens=4)
    settings = StreamSettings(policy=policy, fps=4.0, vision_window=3, rounds=2, sink=6, sampling=sampling)
    said = []
    for each in both(folder):
        session = StreamSession(each, settings)
        steps = [session.step(clip) for clip in clips(6, fps=4.0, size=(64, 96))]
        said.append([(step.text, step.num_cached_tokens) for step in steps])
    assert said[0] == said[1]


@torch.inference_mode()
def test_several_streams_share_a_forward_and_the_tower(model, tmp_path):
    ours, theirs = both(written(tmp_path, model.tokenizer, 8))
    found = []
    for each in (ours, theirs):
        patches = Patches(torch.linspace(-1, 1, 16 * 1536).view(16, 1536), (1, 4, 4))
        video = each.encode_video(patches)
        caches = [each.new_cache(9) for _ in range(2)]
        rows = each.embed([*[1] * 6, 4, 5])
        blocks = [PlacedFrames(1, video.features, video.deep)]
        place_frames(rows, blocks)
        places = np.tile(np.concatenate([np.arange(6.0), np.arange(2.0)]), (3, 1))
        found.append(each.forward_shared(rows, places, caches, [6, 2], deep_features(8, blocks)))
    torch.testing.assert_close(*found, rtol=0, atol=1e-5 * float(found[1].abs().max()))


def test_the_floor_finds_every_product(model, tmp_path):
    ours, _ = both(written(tmp_path, model.tokenizer, 9))
    seen = watched(ours)
    session = StreamSession(seen, StreamSettings(sampling=Sampling(greedy=True, max_new_tokens=3)))
    session.step(clips(1, size=(64, 96))[0])
    assert min(Floor(seen).seconds(seen, session.cache).values()) > 0
    visual, text = ours.network.model.visual, ours.network.model.language_model
    products = [each for block in (*visual.blocks, *text.layers) for each in block.products]
    products += visual.mergers
    matrices = [
        name for name in ours.network.state_dict() if name.endswith("proj.weight") or ".linear_" in name
    ]
    matrices += [name for name in ours.network.state_dict() if name.endswith("qkv.weight")]
    named = {f"{part.name}.weight" for each in products for part in each.parts}
    plain = {name.replace("model.language_model.", "text.").removeprefix("model.") for name in matrices}
    assert named == {name for name in plain if name.endswith("weight") and "patch_embed" not in name}


ODD: dict[str, Change] = {
    "biases": lambda config: config["text_config"].update(attention_bias=True),
    "another activation": lambda config: config["vision_config"].update(hidden_act="gelu"),
    "ties that differ": lambda config: config["text_config"].update(
        tie_word_embeddings=not config["tie_word_embeddings"]
    ),
    "RoPE of long contexts": lambda config: config["text_config"]["rope_parameters"].update(
        rope_type="yarn", factor=2.0, original_max_position_embeddings=4096
    ),
    "deep layers out of order": lambda config: config["vision_config"].update(
        depth=4, deepstack_visual_indexes=[2, 1]
    ),
    "a table that is no square": lambda config: config["vision_config"].update(num_position_embeddings=17),
    "experts": lambda config: config.update(model_type="qwen3_vl_moe"),
}


@pytest.mark.parametrize("odd", list(ODD))
def test_what_is_not_plain_is_left_to_transformers(model, tmp_path, odd):
    config = random_config("tiny", FAMILY, family_tokenizer(model.tokenizer, FAMILY))
    config.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert lean_config(stored) is not None
    ODD[odd](stored)
    assert lean_config(stored) is None


@pytest.mark.parametrize("seed", range(8))
def test_learned_positions_lie_where_transformers_has_them(seed):
    draw = np.random.default_rng(seed)
    merge, side = int(draw.integers(1, 4)), int(draw.integers(2, 30))
    grid = (int(draw.integers(1, 3)), merge * int(draw.integers(1, 20)), merge * int(draw.integers(1, 20)))
    config = DeepVisionConfig(1, 64, 64, 2, 64, 16, merge, 2, side**2, (), 10000.0, 3)
    table, plan = torch.randn(side**2, 5), plan_of(config, grid)
    index, shares = get_vision_interpolation_indices_and_weights(
        torch.tensor([grid]), side, "bilinear", align_corners=True, spatial_merge_size=merge
    )
    wanted = (table[index] * shares[:, :, None]).sum(1)
    assert torch.equal(interpolated(table, plan, grid), wanted)
    assert torch.equal(plan.places, get_vision_position_ids(torch.tensor([grid]), merge))
    assert plan.whole.diff().tolist() == [grid[1] * grid[2]] * grid[0]
