"""How a run is told to the one who waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import transformers

Tell = Callable[[str], None]


class ProgressLines(transformers.TrainerCallback):  # type: ignore[misc]
    """A line for every entry of the log: loss, speed, time left.

    Args:
        stage: name of the stage.
        tell: prints a line.
    """

    def __init__(self, stage: str, tell: Tell) -> None:
        self._stage = stage
        self._tell = tell
        self._began_at = 0.0
        self._first_step = 0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_others: Any) -> None:
        """Called by the Trainer."""
        self._began_at, self._first_step = time.monotonic(), state.global_step

    def on_step_end(self, _args: Any, state: Any, control: Any, **_others: Any) -> None:
        """Called by the Trainer: the last step is logged, whatever the interval."""
        if state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(
        self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_others: Any
    ) -> None:
        """Called by the Trainer."""
        if not state.is_world_process_zero or logs is None:
            return
        if "loss" in logs:
            done = state.global_step - self._first_step
            left = (time.monotonic() - self._began_at) / max(done, 1) * (state.max_steps - state.global_step)
            parts = [
                f"loss {logs['loss']:.4f}",
                f"rate {logs.get('learning_rate', 0.0):.2e}",
                f"{logs['tokens_per_second']:.0f} tokens/s",
                f"{100 * logs['data_wait_share']:.0f} % waiting for data",
                f"{timedelta(seconds=round(left))} left",
            ]
            if logs["num_bad_samples"]:
                parts.append(f"{logs['num_bad_samples']:.0f} bad samples")
        elif "eval_loss" in logs:
            parts = [f"loss on held-out chunks {logs['eval_loss']:.4f}"]
        else:
            return
        self._tell(f"{self._stage}: step {state.global_step}/{state.max_steps}, {', '.join(parts)}")
