"""The models that a recipe begins with, looked at before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from svlm_cli.errors import SvlmError
from svlm_cli.sections import NewModel
from svlm_cli.train.arena.seedling import foreign_words
from svlm_cli.train.learner import new_tokenizer, words_of
from svlm_cli.train.published import model_config

TEXT_SHAPE = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"),
    "vocab_size",
)
VISION_SHAPE = (
    *("depth", "hidden_size", "num_heads", "intermediate_size", "out_hidden_size", "patch_size"),
    "spatial_merge_size",
)


def given_problems(model: NewModel, network: Any, output: Path) -> Iterator[str]:
    """What is wrong with the earlier runs that a new model takes weights from, a line each.

    Args:
        network: of the recipe's shape.
        output: of the run; where a stage of it has left something, that is gone on from and nothing is asked
            of the others.
    """
    if any(output.glob("*/checkpoint-*")) or any(output.glob("*/final")):
        return
    for name, folder, parts in (
        ("model.start", model.start, ("text_config", "vision_config")),
        ("model.vision", model.vision, ("vision_config",)),
    ):
        if folder is not None:
            yield from _problems(name, folder, network.config, parts)


def _problems(name: str, folder: Path, wanted: Any, parts: tuple[str, ...]) -> Iterator[str]:
    if not folder.is_dir():
        yield f"{name}: there is no folder {folder}: it is what an earlier run leaves; {_made_by(folder)}"
        return
    try:
        yield from (f"{name}: {told}" for told in _unlike(folder, wanted, parts))
    except SvlmError as error:
        yield f"{name}: {error}"


def _unlike(folder: Path, wanted: Any, parts: tuple[str, ...]) -> Iterator[str]:
    config = model_config(str(folder))
    for part in parts:
        shape = TEXT_SHAPE if part == "text_config" else VISION_SHAPE
        there, here = (getattr(each, part, None) for each in (config, wanted))
        other = [
            f"{key} {getattr(there, key, None)}, not {getattr(here, key)}"
            for key in shape
            if not _fits(key, getattr(there, key, None), getattr(here, key))
        ]
        if other:
            yield f"{folder} has another shape: {'; '.join(other)}"
        elif part == "text_config" and (told := foreign_words(words_of(folder), new_tokenizer())):
            yield f"{folder} {told}"


def _fits(key: str, there: int | None, here: int) -> bool:
    """Whether weights can be taken over; a model of fewer words is given the new ones beside its own."""
    if key == "vocab_size" and there is not None:
        return there <= here
    return there == here


def _made_by(folder: Path) -> str:
    """The command that leaves ``RUN/STAGE/final``."""
    if folder.name == "final" and len(folder.parts) > 2:
        return f"svlm train of its recipe with --out {folder.parent.parent} makes it"
    return "name one that is there"
