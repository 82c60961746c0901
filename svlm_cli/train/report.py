"""What a recipe will do, before it does it."""

from __future__ import annotations

from svlm_cli.recipe import Recipe
from svlm_cli.train.seedling import new_seedling, size_of
from svlm_cli.train.trainer import new_tokenizer

_STATES_PER_WEIGHT = 4  # weight, gradient, two moments of AdamW
_BYTES = 4


def outline(recipe: Recipe) -> str:
    """Sizes and steps as lines of text.

    Args:
        recipe: what would be run.
    """
    tokenizer = new_tokenizer()
    size = size_of(recipe.model)
    network = new_seedling(size, tokenizer, recipe.pixels, recipe.seed)
    num_weights = sum(weight.numel() for weight in network.parameters())
    states = num_weights * _BYTES * _STATES_PER_WEIGHT
    lines = [
        f"model: {num_weights / 1e6:.2f} M weights, {len(tokenizer)} words and marks",
        f"memory for weights, gradients and moments: {states / 1e6:.0f} MB",
    ]
    for stage in recipe.stages:
        batch = stage.micro_batch * stage.accumulate
        mix = ", ".join(f"{name} {weight:g}" for name, weight in stage.mix.model_dump().items() if weight)
        lines.append(f"stage {stage.name}: {stage.steps} steps of {batch} samples ({mix})")
    return "\n".join(lines)
