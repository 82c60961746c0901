"""A training run as typed values, read from YAML; no torch.

Every problem is told at once, an unknown key with the nearest name. ``key=value`` settings (dotted
keys, list items by number) override the file before it is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from svlm_cli.errors import UsageError

Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A part of a recipe: frozen, and no key but those that are named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewModel(Section):
    """A Qwen2.5-VL to train from nothing; see ``train.seedling.SeedlingSize``.

    Args:
        vision: folder of a model of this shape whose vision tower is taken over.
        start: folder of a model of this shape to go on from, instead of random weights.
    """

    hidden: PositiveInt = 192
    layers: PositiveInt = 4
    heads: PositiveInt = 6
    key_value_heads: PositiveInt = 3
    mlp: PositiveInt = 512
    vision_hidden: PositiveInt = 80
    vision_layers: PositiveInt = 4
    vision_mlp: PositiveInt = 192
    merge: PositiveInt = 4
    vision: Path | None = None
    start: Path | None = None

    @model_validator(mode="after")
    def _begins_once(self) -> Self:
        if self.vision is not None and self.start is not None:
            raise ValueError("start has a vision tower of its own: name vision or start")
        return self


class ArenaMix(Section):
    """Weights of the kinds of samples; see ``data.arena_dataset.Mix``."""

    symbols: Weight = 0.0
    counts: Weight = 0.0
    bare: Weight = 0.0
    chunks: Weight = 0.0
    fast: Weight = 0.0
    told: Weight = 0.0
    recall: Weight = 0.0
    far: Weight = 0.0
    scenes: Weight = 0.0


class ChunkSource(Section):
    """A data set that ``svlm chunk`` wrote, or one of its layout.

    Args:
        path: its folder; relative to where the command is started.
        name: of the pair of files in it, without ``_with_seeks.jsonl``.
        weight: how often its samples are drawn, beside the weights of ``mix``.
        fps: frames per second.
        sink, text_window: tokens kept of the head and of the tail of the commentary before a chunk.
    """

    path: Path
    name: str = "train_s12w24"
    weight: PositiveFloat = 1.0
    fps: PositiveFloat = 2.0
    sink: Annotated[int, Field(ge=0)] = 512
    text_window: Annotated[int, Field(ge=0)] = 512


class Data(Section):
    """Where samples come from.

    Args:
        windows: folder that drawn windows are kept in, relative to the run's output folder.
        num_windows: different windows at 2 frames a second; a quarter of it at 8.
        num_plays: different matches that text is told from.
    """

    windows: Path = Path("windows")
    num_windows: PositiveInt = 3000
    num_plays: PositiveInt = 400


class Stage(Section):
    """A part of the curriculum; stages run in order, each from the weights of the one before.

    Args:
        steps: optimizer steps.
        micro_batch: samples of one forward pass, on each process.
        accumulate: forward passes of a step, on each process.
        optimizer: ``muon`` takes AdamW for all but the inner matrices.
        learning_rate: peak; ``end_share`` of it is left at the end of a linear decay.
        freeze_vision: leave the vision tower as it is.
        vision_rate: the vision tower's learning rate as a share of ``learning_rate``.
        z_loss: weight of the squared logarithm of the softmax's denominator, which pulls it to 0.
        cache_vision: compute what a frozen tower makes of each window once and keep it on disk.
        mix: of samples made by the arena.
        chunks: data sets of real chunks.
    """

    name: str
    steps: PositiveInt
    micro_batch: PositiveInt
    accumulate: PositiveInt = 1
    optimizer: Literal["muon", "adamw"] = "adamw"
    learning_rate: PositiveFloat = 1e-5
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    end_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    freeze_vision: bool = True
    vision_rate: PositiveFloat = 1.0
    z_loss: Annotated[float, Field(ge=0)] = 0.0
    cache_vision: bool = False
    save_steps: PositiveInt = 200
    mix: ArenaMix = ArenaMix()
    chunks: tuple[ChunkSource, ...] = ()

    @model_validator(mode="after")
    def _learns_from_something(self) -> Self:
        if not self.chunks and not any(self.mix.model_dump().values()):
            raise ValueError("nothing to learn from: give mix a weight, or name chunks")
        return self

    @model_validator(mode="after")
    def _cache_only_what_is_frozen(self) -> Self:
        if self.cache_vision and not self.freeze_vision:
            raise ValueError("cache_vision needs freeze_vision: features of a tower that changes are stale")
        return self


class Recipe(Section):
    """A whole run.

    Args:
        seed: of weights and samples.
        model: what is trained.
        pixels: of every frame.
        bfloat16: compute in bfloat16 (weights stay float32).
        save_dtype: of the weights in the last stage's ``final``.
        stages: the curriculum.
    """

    seed: int = 0
    model: NewModel = NewModel()
    pixels: PositiveInt = 168 * 112
    bfloat16: bool = True
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    data: Data = Data()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]


def load_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file.
        settings: ``key=value`` each, e.g. ``stages.0.steps=100``; values are YAML.

    Raises:
        UsageError: a file that cannot be read, a malformed setting, or a recipe with problems; names all
            of them.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"the recipe {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"the recipe {path} holds no sections")
    for setting in settings:
        _apply(content, setting)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise UsageError(f"the recipe {path} is wrong: {problems}") from error


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every default written out; ``load_recipe`` reads it back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _apply(content: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {setting}: expected key=value", "e.g. --set stages.0.steps=100")
    *path, last = key.split(".")
    place: Any = content
    for step in path:
        if isinstance(place, list) and step.isdigit() and int(step) < len(place):
            place = place[int(step)]
        elif isinstance(place, dict):
            place = place.setdefault(step, {})
        else:
            raise UsageError(f"--set {setting}: there is no {step} in the recipe")
    value = yaml.safe_load(text)
    if isinstance(place, list) and last.isdigit() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UsageError(f"--set {setting}: there is no {last} in the recipe")


def _problem(detail: Any) -> str:
    place = ".".join(str(step) for step in detail["loc"])
    if detail["type"] != "extra_forbidden":
        return f"{place}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
    name = str(detail["loc"][-1])
    close = get_close_matches(name, _names(detail["loc"][:-1]), n=1, cutoff=0.4)
    return f"{place}: unknown key" + (f", did you mean {close[0]}?" if close else "")


def _names(path: Sequence[int | str]) -> list[str]:
    """The keys a section at this place may have."""
    section: type[BaseModel] = Recipe
    for step in path:
        if isinstance(step, str) and step in section.model_fields:
            section = _SECTIONS.get((section, step), section)
    return list(section.model_fields)


_SECTIONS: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
    (Recipe, "model"): NewModel,
    (Recipe, "data"): Data,
    (Recipe, "stages"): Stage,
    (Stage, "mix"): ArenaMix,
    (Stage, "chunks"): ChunkSource,
}
