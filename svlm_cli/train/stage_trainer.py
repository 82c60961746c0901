"""transformers' Trainer with svlm's optimizer, schedule, account of bad samples, and speed in its log."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
import transformers

from svlm_cli.errors import ModelError
from svlm_cli.sections import Stage
from svlm_cli.train.bad_samples import BadSampleBook
from svlm_cli.train.loss import token_loss
from svlm_cli.train.optimizer import new_optimizer

BAD_SAMPLES = "bad_samples"


class StageTrainer(transformers.Trainer):  # type: ignore[misc]
    """A stage of a recipe.

    Its log has, beside the Trainer's own, ``tokens_per_second`` (input tokens of all processes by wall time),
    ``data_wait_share`` (of wall time in which this process waited for samples) and ``num_bad_samples``.

    Args:
        stage: what to do.
        book: where bad samples are written down.
        options: the Trainer's options.
    """

    optimizer: Any
    lr_scheduler: Any

    def __init__(self, stage: Stage, book: BadSampleBook, **options: Any) -> None:
        super().__init__(compute_loss_func=functools.partial(token_loss, z_loss=stage.z_loss), **options)
        self._stage = stage
        self._book = book
        self._waited_seconds = 0.0
        self._num_tokens = 0
        self._logged_at = time.monotonic()

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The stage's optimizer over what is trained."""
        if self.optimizer is None:
            stage = self._stage
            network = self.model if model is None else model
            self.optimizer = new_optimizer(
                network,
                stage.optimizer,
                stage.learning_rate,
                stage.weight_decay,
                stage.vision_rate,
                in_bfloat16=self.args.bf16,
            )
        return self.optimizer  # type: ignore[no-any-return]

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """The stage's schedule."""
        if self.lr_scheduler is None:
            share = functools.partial(rate_share, self._stage, num_training_steps)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, share)
        return self.lr_scheduler  # type: ignore[no-any-return]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Leave weights as they are, unless an engine has them in shards: they came with the learner.

        The Trainer's own reading (transformers 5.23) does not know that Qwen2-VL's weights have other names
        in files than in memory: it would warn, and go on with none of them.
        """
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """The micro-batches of a step; what could not be read is taken out and written down.

        Raises:
            SourceError: more samples are bad than the recipe allows.
        """
        began = time.monotonic()
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._waited_seconds += time.monotonic() - began
        self._book.add([bad for batch in batches for bad in batch.pop(BAD_SAMPLES, [])])
        self._num_tokens += sum(batch["input_ids"].numel() for batch in batches)
        return batches, num_items

    def prediction_step(self, model: Any, inputs: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        """One batch of an evaluation."""
        self._book.add(inputs.pop(BAD_SAMPLES, []))
        return super().prediction_step(model, inputs, *arguments, **options)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The norm of a step's gradients, looked at before they move a weight: once a step.

        One that is not finite would make every weight so, and each checkpoint from then on.

        Raises:
            ModelError: it is not finite.
        """
        norm = super()._get_grad_norm(model, grad_norm)
        number = 0.0 if norm is None else float(norm.item() if isinstance(norm, torch.Tensor) else norm)
        if not math.isfinite(number):
            raise self._not_finite("gradients are", self.state.global_step + 1)
        return norm

    def _not_finite(self, what: str, step: int) -> ModelError:
        return ModelError(
            f"{self._stage.name}: the {what} not finite at step {step}: training ends here",
            "the same command goes on from the last checkpoint; if it comes again, lower learning_rate or "
            "max_grad_norm and start afresh",
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add speed to what is logged of training steps.

        Raises:
            ModelError: a loss is not finite; it is logged before.
        """
        if "loss" in logs:
            now = time.monotonic()
            seconds = max(now - self._logged_at, 1e-9)
            logs["tokens_per_second"] = self._num_tokens * self.args.world_size / seconds
            logs["data_wait_share"] = self._waited_seconds / seconds
            logs["num_bad_samples"] = len(self._book)
            self._logged_at, self._num_tokens, self._waited_seconds = now, 0, 0.0
        super().log(logs, start_time)
        for name in ("loss", "eval_loss"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise self._not_finite(f"{name.replace('eval_', 'held-out ')} is", self.state.global_step)


def rate_share(stage: Stage, num_steps: int, step: int) -> float:
    """The learning rate of a step as a share of the peak: linear warm-up, then the stage's decay.

    Args:
        stage: names warm-up, schedule and what is left at the end.
        num_steps: the number of steps of the stage.
        step: the number of the step, from 0.
    """
    warmup = stage.warmup_steps or math.ceil(stage.warmup_share * num_steps)
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, num_steps - warmup))
    left = (1 + math.cos(math.pi * done)) / 2 if stage.schedule == "cosine" else 1 - done
    return stage.end_share + (1 - stage.end_share) * left
