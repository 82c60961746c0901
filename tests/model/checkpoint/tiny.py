"""Tiny networks of the real classes with a hundred words: what is saved and opened costs milliseconds."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from svlm_cli.model.family.random_config import random_config
from svlm_cli.model.family.table import FAMILIES, patch_settings

NUM_WORDS = 100
MARKUP = (
    *("video_pad", "image_pad", "vision_start", "vision_end", "endoftext", "im_end"),
    *("end_of_utterance", "image", "video", "IMG_CONTEXT"),
)
IDS = torch.randint(0, NUM_WORDS - 10, (1, 24), generator=torch.Generator().manual_seed(0))


class _Words:
    """As much of a tokenizer as a configuration asks for."""

    def __len__(self) -> int:
        return NUM_WORDS

    def convert_tokens_to_ids(self, word: str) -> int:
        return NUM_WORDS - 10 + MARKUP.index(word.strip("<|>"))


def tiny_network(family: str = "qwen2_5_vl", *, tied: bool = True, seed: int = 0, spread: float = 3.0) -> Any:
    """A network with random weights, biases too, and sharp attention."""
    config = random_config("tiny", family, _Words())
    config.text_config.vocab_size = NUM_WORDS
    config.tie_word_embeddings = tied
    torch.manual_seed(seed)
    network = getattr(transformers, FAMILIES[family].class_name)(config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(spread) if weight.ndim > 1 else weight.add_(0.1 * torch.randn_like(weight))
    return network


def logits(network: Any) -> torch.Tensor:
    """Of a fixed text behind a fixed picture, shape (1, n, 100)."""
    config = network.config
    if FAMILIES[config.model_type].square is not None:
        return _logits_of_square(network)
    picture = [config.vision_start_token_id, *[config.video_token_id] * 4]
    ids = torch.cat([torch.tensor([picture]), IDS], dim=1)
    noise = torch.Generator().manual_seed(1)
    vision = config.vision_config
    size = 3 * vision.temporal_patch_size * vision.patch_size**2
    with torch.no_grad():
        found: torch.Tensor = network(
            input_ids=ids,
            position_ids=torch.arange(ids.shape[1]).expand(3, 1, -1),
            pixel_values_videos=torch.randn(16, size, generator=noise).to(network.dtype),
            video_grid_thw=torch.tensor([[1, 4, 4]]),
        ).logits
    return found


def _logits_of_square(network: Any) -> torch.Tensor:
    square = patch_settings(network.config).square
    assert square is not None
    noise = torch.Generator().manual_seed(1)
    pixels = torch.randn(1, 3, square.side, square.side, generator=noise).to(network.dtype)
    family = network.config.model_type
    if is_video := family == "llava_onevision":
        given = {"pixel_values_videos": pixels[None]}
    else:
        given = {"pixel_values": pixels[None] if family == "smolvlm" else pixels}
    pad = network.config.video_token_id if is_video else network.config.image_token_id
    pads = torch.full((1, square.num_tokens + is_video), pad)
    with torch.no_grad():
        found: torch.Tensor = network(input_ids=torch.cat([pads, IDS], dim=1), **given).logits
    return found


CLASS = FAMILIES["qwen2_5_vl"].class_name
