"""What a recipe will do, before it does it: steps, tokens, memory, disk, and what is in the way."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from svlm_cli.data.chunks.chunk import Chunk, ChunkFile
from svlm_cli.errors import ModelError, SourceError, SvlmError, boundary
from svlm_cli.media.file.reader import open_video
from svlm_cli.model.family.livecc import chosen_format, format_of
from svlm_cli.model.family.parts import vision_weights
from svlm_cli.model.family.table import (
    check_text,
    family_of,
    frames_per_stamp,
    patch_settings,
    recurrent_layers,
    tokens_per_second,
)
from svlm_cli.model.patches import PatchSettings, pixel_limits
from svlm_cli.sections import Checkpoint, ChunkSource, NewModel, Recipe, Stage
from svlm_cli.settings import PromptFormat, Viewing
from svlm_cli.train.arena.seedling import new_seedling
from svlm_cli.train.arguments import world_size
from svlm_cli.train.given import given_problems
from svlm_cli.train.learner import lora_linears, new_patch_settings, new_tokenizer, with_pixels
from svlm_cli.train.number_format import in_one_format
from svlm_cli.train.published import model_config
from svlm_cli.train.stage_data import num_steps

LOOKED_AT = 32
TOKENS_PER_WORD = 1.4  # English commentary in Qwen's vocabulary
TURN_MARKUP_TOKENS = 26
STAMP_TOKENS = 9  # of a temporal patch that is a block of its own, about
TRAINED_ROW_SHARE = 20  # of all rows, one in so many is an answer's
OPENING_TOKENS = 20
FLOAT32, BFLOAT16 = 4, 2
MOMENTS = 2  # of AdamW, float32 each
# Activations that one layer keeps for the way back, in units of (tokens x hidden size), half precision.
LAYER_UNITS = 34
GIB = 2**30


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage will do.

    Args:
        name: the name of the stage.
        steps: optimizer steps; None where they come from chunks that are not there.
        samples_per_step: the number of samples a step, on all processes.
        num_chunks: the number of chunks of all its sources; None where one cannot be read.
        tokens_per_sample, max_tokens_per_sample: mean and largest of the chunks looked at, about; None for
            samples of the arena, and where the model or the data are not there.
        tokens_per_step: the number of tokens a step, on all processes, about.
        seconds: how long it will take by the recipe's ``step_seconds``; None where the recipe has none.
        mean: the stages whose mean it takes.
    """

    name: str
    steps: int | None
    samples_per_step: int
    num_chunks: int | None
    tokens_per_sample: int | None
    max_tokens_per_sample: int | None
    tokens_per_step: int | None
    seconds: float | None = None
    mean: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a recipe will do; None stands for what nothing is there to take a figure from.

    Args:
        num_weights, num_trained: all of the model, and those that change.
        num_processes: the number of processes of this run.
        memory_bytes: the bytes of each part, about, a process; ``activations`` grow with the longest sample.
        checkpoint_bytes: the size in bytes of one checkpoint.
        disk_bytes, free_bytes: what checkpoints will take at most, and what the disk has.
        stages: the stages, in order.
        problems: what keeps the recipe from running, one line each.
        warnings: a slow number format, and chunks that were looked at and cannot be read.
    """

    num_weights: int | None
    num_trained: int | None
    num_processes: int
    memory_bytes: dict[str, int | None]
    checkpoint_bytes: int | None
    disk_bytes: int | None
    free_bytes: int
    stages: tuple[StagePlan, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of a model, as far as sizes go."""

    num_weights: int
    num_trained: int
    hidden: int
    layers: int
    vocabulary: int
    patches: PatchSettings
    stamp_tokens: int = 0
    can_pack: bool = True


def plan(
    recipe: Recipe, output: Path, num_processes: int | None = None, begun: bool | None = None
) -> TrainingPlan:
    """Work out what a recipe will do; nothing is trained or written.

    Args:
        recipe: what would be run.
        output: where to.
        num_processes: None for those of this run.
        begun: see ``in_one_format``.
    """
    world = num_processes or world_size()
    problems: list[str] = []
    recipe, told = in_one_format(recipe, begun)
    warnings = list(told)
    shape: _Shape | None = None
    try:
        network, patches = _hollow(recipe)
        shape = _shape(recipe, network, patches)
        if isinstance(recipe.model, NewModel):
            problems += given_problems(recipe.model, network, output)
    except SvlmError as error:
        problems.append(str(error))
    stages = tuple(_stage_plan(recipe, stage, shape, world, problems, warnings) for stage in recipe.stages)
    checkpoint = None if shape is None else _checkpoint_bytes(recipe, shape)
    disk = None
    there = next(path for path in (output, *output.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if shape is not None and checkpoint is not None:
        disk = len(recipe.stages) * (recipe.keep_checkpoints * checkpoint + shape.num_weights * FLOAT32)
        disk += checkpoint  # the oldest goes once the newest is whole
        if disk > free:
            problems.append(
                f"checkpoints take up to {disk / GIB:.1f} GiB in {output}, the disk has {free / GIB:.1f}"
            )
    return TrainingPlan(
        num_weights=None if shape is None else shape.num_weights,
        num_trained=None if shape is None else shape.num_trained,
        num_processes=world,
        memory_bytes={} if shape is None else _memory(recipe, shape, stages, world),
        checkpoint_bytes=checkpoint,
        disk_bytes=disk,
        free_bytes=free,
        stages=stages,
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _shape(recipe: Recipe, network: Any, patches: PatchSettings) -> _Shape:
    config = network.config.text_config
    everything = _count(network)
    lora = recipe.model.lora if isinstance(recipe.model, Checkpoint) else None
    if lora is not None:
        linears = lora_linears(network, lora)
        trained = sum(lora.rank * (linear.in_features + linear.out_features) for linear in linears)
        everything += trained
    else:
        frozen = all(stage.freeze_vision for stage in recipe.stages)
        trained = everything - (sum(weight.numel() for _, weight in vision_weights(network)) if frozen else 0)
    layers = config.num_hidden_layers
    stamped = STAMP_TOKENS if frames_per_stamp(network.config) else 0
    sizes = config.hidden_size, layers, config.vocab_size
    can_pack = not recurrent_layers(network.config)
    return _Shape(everything, trained, *sizes, patches, stamped, can_pack)


def _hollow(recipe: Recipe) -> tuple[Any, PatchSettings]:
    """The recipe's network, a checkpoint's without memory for its weights."""
    if isinstance(recipe.model, NewModel):
        patches = new_patch_settings(recipe.model, recipe.pixels)
        return new_seedling(recipe.model, new_tokenizer(), recipe.seed), patches
    config, patches, told = described(recipe.model.base)
    prompt_format = chosen_format(PromptFormat(recipe.model.prompt_format), recipe.model.base, told)
    patches = with_pixels(patches, recipe.model, prompt_format, told)
    with torch.device("meta"):
        network = getattr(transformers, family_of(config).class_name)(config)
    return network, patches


def described(base: str) -> tuple[Any, PatchSettings, PromptFormat | None]:
    """What the configuration of a checkpoint says: itself, how frames are cut, the format it was trained on.

    Raises:
        ModelError: it cannot be had, or says what cannot be.
    """
    config = model_config(base)
    with boundary(f"config.json of the model {base} is wrong", ModelError):
        trained = getattr(config, "svlm", {})
        check_text(config, base)
        tokens_per_second(config)
        return config, patch_settings(config, **pixel_limits(trained)), format_of(trained)


def _count(module: Any) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _stage_plan(
    recipe: Recipe,
    stage: Stage,
    shape: _Shape | None,
    world: int,
    problems: list[str],
    warnings: list[str],
) -> StagePlan:
    lengths: list[int] = []
    counts: list[int | None] = []
    if stage.packing and shape is not None and not shape.can_pack:
        problems.append(
            f"stage {stage.name}: packing lays samples end to end, and layers of linear attention carry "
            "each one's state into the next: leave packing out"
        )
    for source in stage.chunks:
        try:
            chunks = ChunkFile(source.path, source.name)
        except SvlmError as error:
            problems.append(f"stage {stage.name}: {error}")
            counts.append(None)
            continue
        counts.append(len(chunks))
        found, bad = _lengths(chunks, source, shape, recipe.viewing)
        lengths += [length for length in found if length is not None]
        if not found:
            reason = bad[0] if bad else "it is empty"
            problems.append(
                f"stage {stage.name}: no chunk of {source.path}/{source.name} can be used: {reason}"
            )
        elif bad:
            warnings.append(f"stage {stage.name}: {len(bad)} of {len(bad) + len(found)} chunks: {bad[0]}")
    known = [count for count in counts if count is not None]
    num_chunks = sum(known) if len(known) == len(counts) else None
    if stage.mean:
        return StagePlan(stage.name, 0, 0, 0, None, None, None, 0.0, stage.mean)
    samples = stage.micro_batch * stage.accumulate * world
    mean = round(sum(lengths) / len(lengths)) if lengths and num_chunks is not None else None
    is_counted = stage.steps is not None or bool(num_chunks)
    steps = num_steps(stage, num_chunks or 0, world) if is_counted else None
    return StagePlan(
        name=stage.name,
        steps=steps,
        samples_per_step=samples,
        num_chunks=num_chunks,
        tokens_per_sample=mean,
        max_tokens_per_sample=None if mean is None else max(lengths),
        tokens_per_step=None if mean is None else mean * samples,
        seconds=None if stage.step_seconds is None or steps is None else steps * stage.step_seconds,
    )


def _lengths(
    chunks: ChunkFile, source: ChunkSource, shape: _Shape | None, viewing: Viewing
) -> tuple[list[int | None], list[str]]:
    """Tokens of chunks taken evenly from a data set, about, and what is wrong with those that have none.

    Without a shape a chunk that can be read has None.
    """
    lengths: list[int | None] = []
    bad: list[str] = []
    for number in range(0, len(chunks), max(1, len(chunks) // LOOKED_AT)):
        try:
            chunk = chunks[number]
            lengths.append(_length(chunk, source, shape, viewing))
        except SvlmError as error:
            bad.append(f"sample {number}: {error}")
    return lengths, bad


def _length(chunk: Chunk, source: ChunkSource, shape: _Shape | None, viewing: Viewing) -> int | None:
    with open_video(source.path / chunk.video, viewing=viewing) as video:
        height, width = video.info.height, video.info.width
    if shape is None:
        return None
    patches = shape.patches
    per_frame = patches.frame_tokens(height, width)
    seconds = chunk.end_seconds - chunk.start_seconds
    temporal = source.fps / patches.temporal_patch_size
    frames = temporal * (per_frame + shape.stamp_tokens)
    told = min(TOKENS_PER_WORD * len(chunk.previous_text.split()), source.sink + source.text_window)
    said = TOKENS_PER_WORD * len(chunk.words)
    return round(OPENING_TOKENS + told + said + seconds * (TURN_MARKUP_TOKENS + frames))


def _checkpoint_bytes(recipe: Recipe, shape: _Shape) -> int:
    """Weights that are saved and the moments of what is trained."""
    is_adapter = isinstance(recipe.model, Checkpoint) and recipe.model.lora is not None
    saved = shape.num_trained if is_adapter else shape.num_weights
    return saved * _weight_bytes(recipe) + shape.num_trained * FLOAT32 * MOMENTS


def _weight_bytes(recipe: Recipe) -> int:
    return (
        BFLOAT16 if isinstance(recipe.model, Checkpoint) and recipe.model.weights == "bfloat16" else FLOAT32
    )


def _memory(
    recipe: Recipe, shape: _Shape, stages: tuple[StagePlan, ...], world: int
) -> dict[str, int | None]:
    shards = world if recipe.parallel != "ddp" else 1
    held: dict[str, int | None] = {
        "weights": shape.num_weights * _weight_bytes(recipe) // shards,
        "gradients": shape.num_trained * _weight_bytes(recipe) // shards,
        "moments": shape.num_trained * FLOAT32 * MOMENTS // shards,
        "activations": None,
        "logits": None,
    }
    each = [found.max_tokens_per_sample for found in stages]
    batches = [
        stage.micro_batch * most for stage, most in zip(recipe.stages, each, strict=True) if most is not None
    ]
    if len(batches) < len(each):  # of the samples of a stage nothing is known
        return held
    longest = max(batches, default=0)
    half = BFLOAT16 if recipe.bfloat16 else FLOAT32
    layer = longest * shape.hidden * LAYER_UNITS * half // BFLOAT16
    kept = longest * shape.hidden * half * shape.layers
    activations = kept + layer if recipe.gradient_checkpointing else layer * shape.layers
    trained_rows = longest // TRAINED_ROW_SHARE
    logits = trained_rows * shape.vocabulary * (half + 2 * FLOAT32)
    return held | {"activations": activations, "logits": logits}


def check(recipe: Recipe, output: Path) -> None:
    """Refuse what cannot run before anything is started.

    Raises:
        SourceError: the model, a data set or the disk is in the way; all problems at once.
    """
    if problems := plan(recipe, output).problems:
        raise SourceError(f"the recipe cannot run: {'; '.join(problems)}", "svlm train --dry-run checks it")
