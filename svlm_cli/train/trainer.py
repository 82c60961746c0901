"""Running a recipe: each stage is one run of transformers' Trainer."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from svlm_cli.data.sample import Sample, collate
from svlm_cli.errors import UsageError
from svlm_cli.files import whole_file
from svlm_cli.model.library import silent_library
from svlm_cli.recipe import dump_recipe
from svlm_cli.sections import Recipe, Stage
from svlm_cli.train.arguments import num_workers, rank, training_arguments, world_size
from svlm_cli.train.bad_samples import BadSampleBook
from svlm_cli.train.checkpoints import (
    RECIPE_FILE,
    CheckpointSeal,
    check_same_origin,
    last_sealed,
    origin,
    remove_unsealed,
    write_beside,
    write_seal,
)
from svlm_cli.train.learner import Learner, open_learner
from svlm_cli.train.progress import ProgressLines, Tell
from svlm_cli.train.stage_data import (
    evaluation_data,
    num_steps,
    open_chunks,
    training_data,
    valid_sources,
)
from svlm_cli.train.stage_trainer import StageTrainer
from svlm_cli.train.vision_cache import VisionCache, add_features, fill

BAD_SAMPLES_FILE = "bad_samples.jsonl"
RESULT_FILE = "result.json"
FINAL = "final"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage came to.

    Args:
        name: of the stage.
        model: its folder, which ``svlm stream --model`` opens (``--adapter`` for LoRA).
        steps: optimizer steps.
        loss: of the last logged steps.
        eval_loss: on held-out chunks, None where there are none.
        num_bad_samples: that could not be read; they are named in ``bad_samples.jsonl``.
    """

    name: str
    model: str
    steps: int
    loss: float | None
    eval_loss: float | None
    num_bad_samples: int


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
    output.mkdir(parents=True, exist_ok=True)
    if rank() == 0:
        with whole_file(output / RECIPE_FILE) as partial:
            partial.write_text(dump_recipe(recipe), encoding="utf-8")
    if start is not None and start.parent.name not in {stage.name for stage in recipe.stages}:
        raise UsageError(f"--resume {start} lies in none of the recipe's stages")
    with silent_library():
        return _run_stages(recipe, output, resume=resume, start=start, tell=tell)


def _run_stages(
    recipe: Recipe, output: Path, *, resume: bool, start: Path | None, tell: Tell
) -> list[StageResult]:
    results: list[StageResult] = []
    for stage in recipe.stages:
        folder = output / stage.name
        before = Path(results[-1].model) if results else None
        chosen = start if start is not None and start.parent.name == stage.name else None
        if chosen is None and resume and (folder / FINAL / RESULT_FILE).is_file():
            results.append(_done_already(recipe, stage, folder / FINAL))
            tell(f"{stage.name}: done already, {folder / FINAL}")
            continue
        run = _StageRun(recipe, stage, folder, tell)
        results.append(run(before, chosen or (last_sealed(folder) if resume else None)))
        resume = False  # what later stages have left was made from another model
    return results


def _done_already(recipe: Recipe, stage: Stage, final: Path) -> StageResult:
    check_same_origin(final, origin(recipe, stage, world_size()))
    stored = json.loads((final / RESULT_FILE).read_text(encoding="utf-8"))
    return StageResult(**{**stored, "model": str(final)})


class _StageRun:
    """One stage of a recipe."""

    def __init__(self, recipe: Recipe, stage: Stage, folder: Path, tell: Tell) -> None:
        self._recipe = recipe
        self._stage = stage
        self._folder = folder
        self._tell = tell
        self._world = world_size()

    def __call__(self, before: Path | None, checkpoint: Path | None) -> StageResult:
        recipe, stage = self._recipe, self._stage
        made_from = origin(recipe, stage, self._world)
        if checkpoint is not None:
            check_same_origin(checkpoint, made_from)
            self._tell(f"{stage.name}: going on from {checkpoint}")
        # The Trainer's arguments come first: DeepSpeed shares weights out as they are loaded.
        arguments = training_arguments(recipe, stage, stage.steps or 1, self._folder)
        self._clear(arguments, from_scratch=checkpoint is None)
        learner = open_learner(recipe, stage, checkpoint or before)
        sources = [open_chunks(learner, source) for source in stage.chunks]
        arguments.max_steps = num_steps(stage, sum(len(source.chunks) for source in sources), self._world)
        features = self._features(learner, arguments)
        evaluated = evaluation_data(stage, learner, features, recipe.max_bad_samples + 1)
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

    def _clear(self, arguments: transformers.TrainingArguments, *, from_scratch: bool) -> None:
        """Take away what an interrupted or an earlier run has left, before anything is added."""
        with arguments.main_process_first(local=False):
            if rank() == 0:
                self._folder.mkdir(parents=True, exist_ok=True)
                remove_unsealed(self._folder)
                if from_scratch:
                    (self._folder / BAD_SAMPLES_FILE).unlink(missing_ok=True)
                    for path in self._folder.glob("checkpoint-*"):
                        shutil.rmtree(path)

    def _features(self, learner: Learner, arguments: transformers.TrainingArguments) -> VisionCache | None:
        stage = self._stage
        if not stage.cache_vision:
            return None
        tower = learner.base
        add_features(tower)
        tower.to(arguments.device)
        cache = VisionCache(self._windows, tower, learner.patches)
        chosen = [open_chunks(learner, source) for source in (*stage.chunks, *valid_sources(stage))]
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
        if stage is self._recipe.stages[-1] and self._recipe.save_dtype == "bfloat16":
            learner.network.to(dtype=torch.bfloat16)
        partial = self._folder / f"{FINAL}.partial"
        trainer.save_model(str(partial))
        if trainer.is_world_process_zero():
            write_beside(partial, self._recipe, learner.beside)
            write_seal(partial, made_from)
            (partial / RESULT_FILE).write_text(json.dumps(asdict(result)) + "\n", encoding="utf-8")
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
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
        collate, pad_id=learner.tokenizer.convert_tokens_to_ids("<|endoftext|>"), packing=stage.packing
    )
