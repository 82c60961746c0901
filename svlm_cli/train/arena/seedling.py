"""A new, untrained Qwen2.5-VL of a few million weights with a vocabulary of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import transformers

from svlm_cli.model.family.dialect import TURN_END
from svlm_cli.model.family.markup import END_OF_TEXT, config_ids
from svlm_cli.sections import NewModel
from svlm_cli.train.arena.induction import plant_induction

VISION_HEAD_SIZE = 20
PATCH_SIZE = 14
INDUCTION_HEAD_SIZE = 64
FRAME_SCALE = 0.2
ASPECT_RATIO = (3, 2)  # of the pitch
# Mean colour of the pitch: empty grass is nearly zero, so that what stands on it is what differs.
IMAGE_MEAN = (0.33, 0.57, 0.28)
IMAGE_STD = (0.2, 0.2, 0.2)


def new_seedling(size: NewModel, tokenizer: Any, seed: int) -> Any:
    """Build it with random weights.

    Args:
        size: its shape; ``vision`` and ``start`` are not looked at.
        tokenizer: a tokenizer with Qwen's markup.
        seed: the seed of the weights.
    """
    torch.manual_seed(seed)
    network = transformers.Qwen2_5_VLForConditionalGeneration(_config(size, tokenizer))
    with torch.no_grad():  # embeddings at unit norm: names and counting were learnt sooner so
        network.get_input_embeddings().weight.normal_(std=size.hidden**-0.5)
        _share_embeddings(network, tokenizer)
        # Frames begin at the size of words; larger, they grew into one constant that hid the picture.
        network.model.visual.merger.mlp[2].weight.mul_(FRAME_SCALE)
    if size.layers > 1 and size.hidden // size.heads == INDUCTION_HEAD_SIZE:
        plant_induction(network, torch.Generator().manual_seed(seed))
    return network


def grown_seedling(size: NewModel, tokenizer: Any, seed: int, smaller: Any, known: Mapping[str, int]) -> Any:
    """A model of more words than another, with all of its weights; new words begin as in a new model.

    Args:
        size, tokenizer, seed: see ``new_seedling``.
        smaller: the other model, of the same shape.
        known: its vocabulary.

    Raises:
        ValueError: it is of another shape, or knows words that the tokenizer does not.
    """
    vocabulary = tokenizer.get_vocab()
    if told := foreign_words(known, tokenizer):
        raise ValueError(f"it {told}")
    network = new_seedling(size, tokenizer, seed)
    mine, weights = network.state_dict(), smaller.state_dict()
    table = network.get_input_embeddings().weight
    names = [name for name, weight in mine.items() if weight.data_ptr() != table.data_ptr()]
    if {*mine} != {*weights} or any(mine[name].shape != weights[name].shape for name in names):
        raise ValueError("it is of another shape")
    with torch.no_grad():
        for name in names:
            mine[name].copy_(weights[name])
        old = smaller.get_input_embeddings().weight
        for piece, number in known.items():
            table[vocabulary[piece]] = old[number]
    return network


def foreign_words(known: Iterable[str], tokenizer: Any) -> str:
    """Which of a model's words the arena lacks, as the end of a sentence; empty where it has all of them."""
    absent = sorted({*known} - {*tokenizer.get_vocab()})
    return f"knows words that the arena does not: {', '.join(map(repr, absent[:5]))}" if absent else ""


def _share_embeddings(network: Any, tokenizer: Any) -> None:
    """A word without its leading blank begins as the word with it."""
    embeddings = network.get_input_embeddings().weight
    known = tokenizer.get_vocab()
    for piece, number in known.items():
        if f" {piece}" in known:
            embeddings[number] = embeddings[known[f" {piece}"]]


def _config(size: NewModel, tokenizer: Any) -> Any:
    pair = size.hidden // size.heads // 2
    spatial = 3 * pair // 8
    vision = {
        "depth": size.vision_layers,
        "num_heads": size.vision_hidden // VISION_HEAD_SIZE,
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_mlp,
        "out_hidden_size": size.hidden,
        "spatial_merge_size": size.merge,
        "patch_size": PATCH_SIZE,
        "tokens_per_second": 2,
        "fullatt_block_indexes": list(range(size.vision_layers)),
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "intermediate_size": size.mlp,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "max_position_embeddings": 32768,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [pair - 2 * spatial, spatial, spatial],
        },
        "bos_token_id": tokenizer.convert_tokens_to_ids(END_OF_TEXT),
        "eos_token_id": tokenizer.convert_tokens_to_ids(TURN_END),
    }
    return transformers.AutoConfig.for_model(
        "qwen2_5_vl",
        vision_config=vision,
        text_config=text,
        tie_word_embeddings=True,
        **config_ids(tokenizer),
    )
