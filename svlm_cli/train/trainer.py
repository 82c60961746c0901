"""Running a recipe: each stage is one run of transformers' Trainer."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from svlm_cli.claims import claim
from svlm_cli.data.samples.sample import Sample, collate
from svlm_cli.errors import OutputError, UsageError
from svlm_cli.files import make_folder, whole_file
from svlm_cli.model.device import keep_few_sizes
from svlm_cli.model.family.markup import END_OF_TEXT
from svlm_cli.model.library import silent_library
from svlm_cli.model.seal import check_weights, write_seal
from svlm_cli.recipe import dump_recipe
from svlm_cli.sections import Recipe, Stage
from svlm_cli.train.arguments import (
    by_first,
    num_workers,
    rank,
    training_arguments,
    world_size,
)
from svlm_cli.train.average import write_mean
from svlm_cli.train.bad_samples import BadSampleBook
from svlm_cli.train.checkpoints import RECIPE_FILE, CheckpointSeal, origin, write_beside
from svlm_cli.train.learner import Learner, given_models, open_learner
from svlm_cli.train.number_format import begun_in, in_one_format
from svlm_cli.train.progress import ProgressLines, Tell
from svlm_cli.train.stage_data import (
    evaluation_data,
    num_steps,
    open_chunks,
    training_data,
    valid_sources,
)
from svlm_cli.train.stage_trainer import StageTrainer
from svlm_cli.train.standing import (
    BAD_SAMPLES_FILE,
    FINAL,
    RESULT_FILE,
    StageResult,
    Standing,
    clear,
    find_standing,
    named_standing,
    put_result,
)
from svlm_cli.train.vision_cache import VisionCache, fill


def train(
    recipe: Recipe,
    output: Path,
    *,
    resume: bool = True,
    start: Path | None = None,
    tell: Tell = print,
) -> list[StageResult]:
    """Run every stage of a recipe.

    Args:
        recipe: what to do.
        output: folder; each stage writes checkpoints into ``output/STAGE`` and its result into
            ``output/STAGE/final``.
        resume: go on from the last whole checkpoint of an interrupted run, skip stages that are done.
        start: go on from this checkpoint in place of the last one.
        tell: prints lines of progress.

    Raises:
        SvlmError: the model, a data set or the recipe cannot be used, or too many samples are bad.
    """
    if start is not None and start.parent.name not in {stage.name for stage in recipe.stages}:
        raise UsageError(f"--resume {start} lies in none of the recipe's stages")
    keep_few_sizes()
    with silent_library(), _sole_writer(recipe, output):
        recipe, told = by_first(
            lambda: in_one_format(recipe, begun_in(recipe, output, start) if resume else None)
        )
        for line in told:
            tell(line)
        return _run_stages(recipe, output, resume=resume, start=start, tell=tell)


@contextmanager
def _sole_writer(recipe: Recipe, output: Path) -> Iterator[None]:
    """Nobody else writes into the output folder meanwhile; where somebody does, all processes say so."""
    with ExitStack() as held:

        def take() -> None:
            try:
                make_folder(output)
            except OSError as error:
                raise OutputError(f"cannot make the folder {output}: {error.strerror}") from error
            held.enter_context(claim(output, f"the output folder {output}", inside=True))

        if world_size() > 1:  # connects the processes
            undecided = recipe.model_copy(update={"bfloat16": False})
            training_arguments(undecided, recipe.stages[0], 1, output)
        by_first(take)
        yield


def _run_stages(
    recipe: Recipe, output: Path, *, resume: bool, start: Path | None, tell: Tell
) -> list[StageResult]:
    results: list[StageResult] = []
    has_run = False
    for stage in recipe.stages:
        folder = output / stage.name
        before = Path(results[-1].model) if results else None
        averaged = [Path(result.model) for result in results if result.name in stage.mean]
        chosen = start if start is not None and start.parent.name == stage.name else None
        prepare = functools.partial(
            _prepare, recipe, stage, folder, averaged or before, chosen, resume=resume, follows_a_run=has_run
        )
        made_from, standing = by_first(prepare)
        for line in standing.told:
            tell(f"{stage.name}: {line}")
        if standing.result is not None:
            results.append(standing.result)
            tell(f"{stage.name}: done already, {folder / FINAL}")
            continue
        if averaged:
            results.append(by_first(functools.partial(_average, recipe, stage, averaged, folder, made_from)))
            tell(f"{stage.name}: the mean of {', '.join(stage.mean)}")
        else:
            results.append(_StageRun(recipe, stage, folder, tell)(before, standing.checkpoint, made_from))
        has_run = True
        resume = resume and chosen is None  # who goes back has the later stages run again
    return results


def _prepare(
    recipe: Recipe,
    stage: Stage,
    folder: Path,
    before: Path | list[Path] | None,
    chosen: Path | None,
    *,
    resume: bool,
    follows_a_run: bool,
) -> tuple[dict[str, Any], Standing]:
    """What a stage is made from and where it stands, with its folder made ready."""
    made_from = origin(recipe, stage, world_size(), before)
    if chosen is not None:
        standing = named_standing(chosen, made_from)
    elif resume:
        standing = find_standing(folder, made_from, follows_a_run=follows_a_run)
    else:
        standing = Standing()
    if standing.result is None and before is None:
        for given in given_models(recipe, from_checkpoint=standing.checkpoint is not None):
            check_weights(given, hashed=True)
    with whole_file(folder.parent / RECIPE_FILE) as partial:
        partial.write_text(dump_recipe(recipe), encoding="utf-8")
    if standing.result is None:
        clear(folder, standing.checkpoint)
    return made_from, standing


def _average(
    recipe: Recipe, stage: Stage, models: Sequence[Path], folder: Path, made_from: Mapping[str, Any]
) -> StageResult:
    """The mean of stages as a stage's result, whole or not at all."""
    final, partial = folder / FINAL, folder / f"{FINAL}.partial"
    to = torch.bfloat16 if _is_shipped(recipe, stage) else None
    write_mean(models, partial, to)
    result = StageResult(stage.name, str(final), 0, None, None, 0)
    write_beside(partial, recipe, {RESULT_FILE: json.dumps(asdict(result)) + "\n"})
    write_seal(partial, made_from)
    put_result(partial, final)
    return result


def _is_shipped(recipe: Recipe, stage: Stage) -> bool:
    """Whether a stage's weights are the run's, in the number format that the recipe names."""
    return stage is recipe.stages[-1] and recipe.save_dtype == "bfloat16"


class _StageRun:
    """One stage of a recipe."""

    def __init__(self, recipe: Recipe, stage: Stage, folder: Path, tell: Tell) -> None:
        self._recipe = recipe
        self._stage = stage
        self._folder = folder
        self._tell = tell
        self._world = world_size()

    def __call__(
        self, before: Path | None, checkpoint: Path | None, made_from: Mapping[str, Any]
    ) -> StageResult:
        recipe, stage = self._recipe, self._stage
        if checkpoint is not None:
            self._tell(f"{stage.name}: going on from {checkpoint}")
        # The Trainer's arguments come first: DeepSpeed shares weights out as they are loaded.
        arguments = training_arguments(recipe, stage, stage.steps or 1, self._folder)
        learner = open_learner(recipe, stage, checkpoint or before, is_begun=checkpoint is not None)
        sources = [open_chunks(learner, source, viewing=recipe.viewing) for source in stage.chunks]
        arguments.max_steps = num_steps(stage, sum(len(source.chunks) for source in sources), self._world)
        features = self._features(learner, arguments)
        evaluated = evaluation_data(recipe, stage, learner, features)
        if evaluated is not None:
            arguments.eval_strategy = transformers.trainer_utils.IntervalStrategy.STEPS
            arguments.eval_steps = stage.eval_steps
        book = BadSampleBook(
            self._folder / BAD_SAMPLES_FILE,
            recipe.max_bad_samples,
            world=self._world,
            is_writer=rank() == 0,
        )
        trainer = StageTrainer(
            stage,
            book,
            model=learner.network,
            args=arguments,
            train_dataset=training_data(
                recipe,
                stage,
                learner,
                features,
                steps=arguments.max_steps,
                windows=self._windows,
                world=self._world,
            ),
            eval_dataset=evaluated,
            data_collator=_collator(learner, stage),
            processing_class=learner.tokenizer,
            callbacks=[
                CheckpointSeal(recipe, made_from, learner.beside),
                ProgressLines(stage.name, self._tell),
            ],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return self._finish(trainer, learner, book, made_from)

    @property
    def _windows(self) -> Path:
        return self._folder.parent / self._recipe.data.windows

    def _features(self, learner: Learner, arguments: transformers.TrainingArguments) -> VisionCache | None:
        stage = self._stage
        if not stage.cache_vision:
            return None
        tower = learner.base
        tower.to(arguments.device)
        cache = VisionCache(self._windows, tower, learner.patches)
        chosen = [
            open_chunks(learner, source, viewing=self._recipe.viewing)
            for source in (*stage.chunks, *valid_sources(stage))
        ]
        workers = num_workers(self._recipe, stage)
        added = fill(cache, chosen, workers=workers, rank=arguments.process_index, world=self._world)
        if added:
            self._tell(f"{stage.name}: vision features of {added} seconds kept in {self._windows}")
        if self._world > 1:
            torch.distributed.barrier()
        return cache

    def _finish(
        self, trainer: StageTrainer, learner: Learner, book: BadSampleBook, made_from: Mapping[str, Any]
    ) -> StageResult:
        """Evaluate, and write the stage's result, whole or not at all."""
        stage, final = self._stage, self._folder / FINAL
        eval_loss = None if trainer.eval_dataset is None else _last_eval_loss(trainer)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        result = StageResult(
            stage.name,
            str(final),
            trainer.state.global_step,
            losses[-1] if losses else None,
            eval_loss,
            len(book),
        )
        if _is_shipped(self._recipe, stage):
            learner.network.to(dtype=torch.bfloat16)
        partial = self._folder / f"{FINAL}.partial"
        trainer.save_model(str(partial))
        trainer.accelerator.wait_for_everyone()
        if trainer.is_world_process_zero():
            write_beside(partial, self._recipe, learner.beside)
            (partial / RESULT_FILE).write_text(json.dumps(asdict(result)) + "\n", encoding="utf-8")
            write_seal(partial, made_from)
            put_result(partial, final)
        trainer.accelerator.wait_for_everyone()  # the next stage reads what the first process wrote
        return result


def _last_eval_loss(trainer: StageTrainer) -> float:
    """Of the weights as they are, evaluated now unless the last step was."""
    for entry in reversed(trainer.state.log_history):
        if "eval_loss" in entry and entry["step"] == trainer.state.global_step:
            return float(entry["eval_loss"])
    return float(trainer.evaluate()["eval_loss"])


def _collator(learner: Learner, stage: Stage) -> Callable[[Sequence[Sample]], dict[str, Any]]:
    return functools.partial(
        collate, pad_id=learner.tokenizer.convert_tokens_to_ids(END_OF_TEXT), packing=stage.packing
    )
