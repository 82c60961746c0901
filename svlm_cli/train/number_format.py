"""What a run computes in: float32, or bfloat16 where torch multiplies it by instructions of the machine."""

from __future__ import annotations

from pathlib import Path

from svlm_cli.errors import ModelError
from svlm_cli.model.device import multiplies_bfloat16
from svlm_cli.model.seal import read_seal
from svlm_cli.sections import Checkpoint, Recipe
from svlm_cli.train.checkpoints import checkpoints_of
from svlm_cli.train.standing import FINAL

_HAS_NONE = "this machine, where torch has no fast products of bfloat16"


def in_one_format(recipe: Recipe, begun: bool | None = None) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with its ``bfloat16: auto`` decided, and lines that tell of it.

    Another format gives other weights: what was begun in one goes on in it. Weights that are held in bfloat16
    are computed with in bfloat16.

    Args:
        recipe: what is to be run.
        begun: what ``begun_in`` finds; None for a fresh run.

    Returns:
        The recipe, and what is to be told of it.
    """
    has, told = multiplies_bfloat16(), []
    is_held = isinstance(recipe.model, Checkpoint) and recipe.model.weights == "bfloat16"
    chosen = recipe.bfloat16
    if chosen == "auto":
        fresh = has or is_held
        chosen = fresh if begun is None else begun
        if chosen is not fresh:
            told.append(f"bfloat16: auto is {str(chosen).lower()}, as this run was begun with it")
        elif not chosen:
            told.append(f"bfloat16: auto is float32 on {_HAS_NONE}")
    if (chosen or is_held) and not has:
        told.append(f"computing in bfloat16 is slow on {_HAS_NONE}{_remedy(recipe, is_held, begun)}")
    return recipe.model_copy(update={"bfloat16": chosen}), tuple(told)


def _remedy(recipe: Recipe, is_held: bool, begun: bool | None) -> str:
    """What would be faster; a run that has been begun has to go on as it is."""
    keys = ["bfloat16: auto"] if recipe.bfloat16 is True else []
    keys += ["model.weights: float32, which takes twice the memory"] if is_held else []
    return f"; faster: {' and '.join(keys)}" if keys and begun is None else ""


def begun_in(recipe: Recipe, output: Path, start: Path | None = None) -> bool | None:
    """``bfloat16`` of the run that is gone on with; None where there is none.

    Args:
        recipe: what is to be run.
        output: its folder; a run that has left nothing of its first stage there begins afresh.
        start: the checkpoint that is gone on from, where one is named.
    """
    folder = output / recipe.stages[0].name
    for place in (folder / FINAL, *checkpoints_of(folder)) if start is None else (start,):
        try:
            begun = read_seal(place).made_from["recipe"]["bfloat16"]
        except (ModelError, OSError, KeyError, TypeError):  # of no use; who goes on from it says so
            continue
        if isinstance(begun, bool):
            return begun
    return None
