"""The sections of a recipe as frozen, typed values; no torch. ``svlm_cli.recipe`` reads and writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from svlm_cli.sections.base import MOST, Count, PositiveFloat, PositiveInt, Section, Share, Weight
from svlm_cli.sections.models import (
    CHECKPOINT,
    LANGUAGE_LINEARS,
    NEW_MODEL,
    Checkpoint,
    Lora,
    Model,
    NewModel,
)
from svlm_cli.settings import Deinterlace, PictureStyle, Reader, Viewing

__all__ = [
    "CHECKPOINT",
    "LANGUAGE_LINEARS",
    "NEW_MODEL",
    "ArenaMix",
    "Checkpoint",
    "ChunkSource",
    "Data",
    "Lora",
    "Model",
    "NewModel",
    "Recipe",
    "Section",
    "Stage",
]


def _switch(value: Any) -> Any:
    """YAML takes ``on`` and ``off`` for truth values."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


class ArenaMix(Section):
    """How often each kind of sample of the arena is drawn; weights, not necessarily shares.

    Args:
        symbols: bare turns, words in place of frames.
        counts: the same, few turns and nearly all of them about goals, so that it shows which of the two
            teams of the opening text a goal counts for.
        bare: bare turns with frames at 2 a second, most silent seconds left out.
        chunks: whole chunks at 2 frames a second.
        fast: whole chunks at 8 frames a second.
        told: whole chunks, words in place of frames, with long earlier commentary.
        recall: like told, but the scores in the earlier commentary are trained on as well: a dozen in a
            sample, each as far from the one before as in a match. Now and then a wrong one is said, from
            which the match goes on: the last score said is what counts.
        far: the same, with scores far apart.
        late: recall or far, from later in a match of an hour, so that most of it has left the text window.
        games: recall or far, from any time of a match of an hour; half of them where a new game has begun.
        quiz: few silent seconds, words in place of frames, a question in nearly every one; three in four are
            bare.
        tallies: the same of goals alone, asked mostly who leads and how many goals a side has.
        leads: the same of goals after each of which the score jumps, asked who leads.
        claims: like quiz, with questions of all kinds that are answered by yes or no.
        asked: like told, with questions in some seconds or in all, behind text windows of any size; what
            nothing in the sample tells is "not known".
        deep: recall, with no score for up to six minutes before that of the chunk, which comes behind as many
            turns as a stream has before each second.
        asked_deep: like asked, with questions behind as many turns.
        asked_rows: silent bare turns behind a row of lines, a question in each about what lies far back; none
            that was answered before.
        long_rows: bare turns of minutes of a match, few of them silent, with a question now and then; scores
            are far apart in half of them.
        asked_chunks: asked with frames, a third of them at 8 frames a second.
        looks: the same, bare, behind 20 s at most, asked in each second: mostly where the ball is, else who
            has it or what just happened.
        late_chunks: whole chunks behind as much of a match, a third of them at 4 or 8 frames a second.
        far_chunks: the same, with scores far apart before them.
        deep_chunks: the same, with no score for up to six minutes before them.
        scenes: bare single seconds of different matches, described: who has the ball, what happens, and
            where the ball is.
    """

    symbols: Weight = 0.0
    counts: Weight = 0.0
    bare: Weight = 0.0
    chunks: Weight = 0.0
    fast: Weight = 0.0
    told: Weight = 0.0
    recall: Weight = 0.0
    far: Weight = 0.0
    late: Weight = 0.0
    games: Weight = 0.0
    quiz: Weight = 0.0
    tallies: Weight = 0.0
    leads: Weight = 0.0
    claims: Weight = 0.0
    asked: Weight = 0.0
    deep: Weight = 0.0
    asked_deep: Weight = 0.0
    asked_rows: Weight = 0.0
    long_rows: Weight = 0.0
    asked_chunks: Weight = 0.0
    looks: Weight = 0.0
    late_chunks: Weight = 0.0
    far_chunks: Weight = 0.0
    deep_chunks: Weight = 0.0
    scenes: Weight = 0.0

    @property
    def total(self) -> float:
        """Of all weights."""
        return float(sum(self.model_dump().values()))


class ChunkSource(Section):
    """A data set that ``svlm chunk`` wrote, or one of its layout.

    Where it has a pair named ``valid...`` beside ``train...``, its loss is what a stage is evaluated by.

    Args:
        path: its folder; relative to where the command is started.
        name: the name of the pair of files in it, without ``_with_seeks.jsonl``.
        weight: how often its samples are drawn, beside the other sources' weights and those of ``mix``.
        fps: frames per second.
        sink, text_window: tokens kept of the head and of the tail of the commentary before a chunk.
    """

    path: Path
    name: str = "train_s12w24"
    weight: PositiveFloat = 1.0
    fps: PositiveFloat = 2.0
    sink: Count = 512
    text_window: Count = 512


class Data(Section):
    """Where the arena's own samples come from.

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
        mean: names of stages before; nothing is trained, their weights' mean is taken (arXiv 2203.05482).
        takes: what is taken of the weights of the stage before, ``all`` or, beside a new language model, its
            ``vision`` tower alone.
        steps: optimizer steps; or
        epochs: as many steps as it takes to draw this many times the number of chunks of all sources.
        micro_batch: samples of one forward pass, on each process.
        accumulate: forward passes of a step, on each process.
        optimizer: ``adamw``; ``muon`` for inner matrices and AdamW for the rest; ``adamw_by_width``, whose
            rate falls with the inputs of a layer (``muon`` and it are for small new models).
        learning_rate: peak.
        schedule: ``linear`` or ``cosine`` decay behind the warm-up, to ``end_share`` of the peak.
        warmup_steps, warmup_share: length of the warm-up, in steps or as a share of all.
        freeze_vision: leave the vision tower as it is.
        vision_rate: the vision tower's learning rate as a share of ``learning_rate``.
        z_loss: weight of the squared logarithm of the softmax's denominator, which pulls it to 0.
        cache_vision: compute what a frozen tower makes of each second once and keep it on disk.
        packing: lay the samples of a micro-batch end to end in one row, instead of padding them.
        save_steps, eval_steps: steps between checkpoints and between evaluations; the stage's end has both.
        step_seconds: what a step has taken where the recipe was measured, for ``--dry-run`` to tell.
        mix: which samples the arena makes, and in what shares.
        chunks: data sets of real chunks.
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
    mean: tuple[str, ...] = ()
    takes: Literal["all", "vision"] = "all"
    steps: PositiveInt | None = None
    epochs: PositiveFloat | None = None
    micro_batch: PositiveInt = 1
    accumulate: PositiveInt = 1
    optimizer: Literal["muon", "adamw", "adamw_by_width"] = "adamw"
    learning_rate: PositiveFloat = 1e-5
    schedule: Literal["linear", "cosine"] = "linear"
    warmup_steps: Count = 0
    warmup_share: Share = 0.0
    end_share: Share = 0.0
    weight_decay: Weight = 0.0
    max_grad_norm: PositiveFloat = 1.0
    freeze_vision: bool = True
    vision_rate: PositiveFloat = 1.0
    z_loss: Weight = 0.0
    cache_vision: bool = False
    packing: bool = False
    save_steps: PositiveInt = 200
    eval_steps: PositiveInt = 200
    step_seconds: PositiveFloat | None = None
    mix: ArenaMix = ArenaMix()
    chunks: tuple[ChunkSource, ...] = ()

    @model_validator(mode="after")
    def _learns_from_something(self) -> Self:
        if self.mean:
            if self.chunks or self.mix.total or self.steps is not None or self.epochs is not None:
                raise ValueError("a mean trains nothing: leave steps, epochs, mix and chunks out")
            if len({*self.mean}) < max(2, len(self.mean)):
                raise ValueError("a mean is that of two stages or more, each named once")
            return self
        if "micro_batch" not in self.model_fields_set:
            raise ValueError("micro_batch is missing: samples of one forward pass")
        if not self.chunks and not self.mix.total:
            raise ValueError("nothing to learn from: give mix a weight, or name chunks")
        return self

    @model_validator(mode="after")
    def _cache_only_what_is_frozen(self) -> Self:
        if self.cache_vision and not self.freeze_vision:
            raise ValueError("cache_vision needs freeze_vision: features of a tower that changes are stale")
        return self

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if not self.mean and (self.steps is None) == (self.epochs is None):
            raise ValueError("give steps or epochs, and not both")
        if self.epochs is not None and not self.chunks:
            raise ValueError("epochs count chunks, and there are none: give steps")
        return self

    @model_validator(mode="after")
    def _warms_up_once(self) -> Self:
        if self.warmup_steps and self.warmup_share:
            raise ValueError("give warmup_steps or warmup_share, and not both")
        return self


class Recipe(Section):
    """A whole run.

    Args:
        seed: the seed of weights and samples.
        model: what is trained: a checkpoint (``base``), or a new model.
        pixels: how many pixels every frame of a new model has.
        bfloat16: compute in bfloat16, by autocast; ``auto`` where the machine has instructions for its
            products (with AVX2 alone it is many times slower than float32), or weights are held in it.
        save_dtype: the number format of the weights in the last stage's ``final``.
        parallel: what several processes do: each all of it (``ddp``), or weights, gradients and moments
            shared out among them (``fsdp2``, or DeepSpeed's ``zero3``).
        gradient_checkpointing: compute activations again on the way back: less memory, more time.
        attention: ``auto`` takes flash-attention 2 on CUDA where it is installed, else SDPA.
        liger: use Liger's kernels on CUDA where they are installed.
        workers: processes that read samples, None for as many as there are cores to share (8 at most).
        max_bad_samples: different samples that may turn out unreadable before the run ends with an error.
        log_steps: steps between two lines of the log.
        report_to: trackers of transformers' Trainer: ``tensorboard``, ``wandb``, ``mlflow``, ...
        keep_checkpoints: how many of a stage are kept.
        pictures: of real chunks, as a viewer sees them (``display``) or as they are stored (``raw``); what a
            model is trained on it should be streamed with.
        deinterlace: ``auto`` where a picture says that it has two fields, ``on``, or ``off``.
        reader: what reads videos; ``decord`` is refused where it would show something else.
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    model: Model = NewModel()
    pixels: Annotated[int, Field(gt=0, le=2**26)] = 168 * 112
    bfloat16: Literal["auto", True, False] = "auto"
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    parallel: Literal["ddp", "fsdp2", "zero3"] = "ddp"
    gradient_checkpointing: bool = False
    attention: Literal["auto", "sdpa", "flash_attention_2"] = "auto"
    liger: bool = True
    workers: Count | None = None
    max_bad_samples: Count = 10
    log_steps: PositiveInt = 10
    report_to: tuple[str, ...] = ("tensorboard",)
    keep_checkpoints: Annotated[int, Field(ge=2, le=MOST)] = 3
    pictures: Literal["display", "raw"] = "display"
    deinterlace: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)] = "auto"
    reader: Literal["auto", "pyav", "decord"] = "auto"
    data: Data = Data()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _stages_have_their_own_folders(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len({*names}) < len(names):
            raise ValueError("two stages have the same name")
        return self

    @model_validator(mode="after")
    def _a_mean_is_of_stages_before(self) -> Self:
        for number, stage in enumerate(self.stages):
            before = {each.name for each in self.stages[:number]}
            if absent := [name for name in stage.mean if name not in before]:
                raise ValueError(f"stage {stage.name}: there is no stage {absent[0]} before it")
            if stage.takes != "all" and (number == 0 or stage.mean):
                raise ValueError(f"stage {stage.name}: takes is for a stage that is trained behind another")
        return self

    @model_validator(mode="after")
    def _a_checkpoint_learns_from_chunks(self) -> Self:
        if isinstance(self.model, Checkpoint) and any(
            stage.mean or stage.takes != "all" for stage in self.stages
        ):
            raise ValueError("mean and takes are for new models")
        if isinstance(self.model, Checkpoint) and any(stage.mix.total for stage in self.stages):
            raise ValueError("mix is for new models, which know the arena's words: name chunks")
        return self

    @model_validator(mode="after")
    def _shows_pictures_one_way(self) -> Self:
        if self.pictures == "raw" and self.deinterlace == "on":
            raise ValueError("raw pictures are shown as they are stored: deinterlace on does not go with it")
        return self

    @property
    def viewing(self) -> Viewing:
        """How videos are read and shown."""
        return Viewing(PictureStyle(self.pictures), Deinterlace(self.deinterlace), Reader(self.reader))

    @model_validator(mode="after")
    def _is_sharded_as_one_can(self) -> Self:
        if self.parallel != "ddp":
            for stage in self.stages:
                if stage.optimizer != "adamw":
                    raise ValueError(f"{self.parallel} takes optimizer adamw, not {stage.optimizer}")
        return self
