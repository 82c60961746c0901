"""A recipe's stage as the arguments of transformers' Trainer."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from accelerate.utils import broadcast_object_list
from transformers.integrations import get_reporting_integration_callbacks

from svlm_cli import values
from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.sections import NewModel, Recipe, Stage

MOST_WORKERS = 8
_MOST_PROCESSES = 1_000_000
_T = TypeVar("_T")


def training_arguments(
    recipe: Recipe, stage: Stage, steps: int, folder: Path
) -> transformers.TrainingArguments:
    """What the Trainer is told.

    Args:
        recipe, stage: the run and its part.
        steps: optimizer steps of the stage.
        folder: the folder of checkpoints and logs.

    Raises:
        UsageError: an engine or a tracker that the recipe names is not installed.
    """
    on_gpu = torch.cuda.is_available()
    workers = num_workers(recipe, stage)
    try:
        get_reporting_integration_callbacks(list(recipe.report_to))
        return transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=stage.micro_batch,
            per_device_eval_batch_size=1,
            gradient_accumulation_steps=stage.accumulate,
            max_grad_norm=stage.max_grad_norm,
            bf16=recipe.bfloat16,
            use_cpu=not on_gpu,
            seed=recipe.seed,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            # Arena samples without frames leave the vision tower alone; a frozen one is not waited for.
            ddp_find_unused_parameters=isinstance(recipe.model, NewModel) and not stage.freeze_vision,
            use_liger_kernel=recipe.liger and on_gpu and importlib.util.find_spec("liger_kernel") is not None,
            dataloader_num_workers=workers,
            dataloader_prefetch_factor=4 if workers else None,
            dataloader_pin_memory=on_gpu,
            logging_steps=recipe.log_steps,
            logging_nan_inf_filter=False,
            save_steps=stage.save_steps,
            report_to=list(recipe.report_to) or "none",
            disable_tqdm=True,
            log_level_replica="critical",
            **_checkpointing(recipe),
            **_sharding(recipe),
        )
    except (ImportError, ValueError) as error:
        raise UsageError(f"the Trainer refuses the recipe: {str(error).splitlines()[0]}") from error


def num_workers(recipe: Recipe, stage: Stage) -> int:
    """Processes that read samples for one training process; the arena's samples are made in it."""
    if stage.mix.total:
        return 0
    if recipe.workers is not None:
        return recipe.workers
    local = _by_torchrun("LOCAL_WORLD_SIZE", 1)
    return min(MOST_WORKERS, max(1, (os.cpu_count() or 1) // local))


def world_size() -> int:
    """Processes of this run, by torchrun's word."""
    return _by_torchrun("WORLD_SIZE", 1)


def rank() -> int:
    """Of this process among all of the run."""
    return _by_torchrun("RANK", 0)


def _by_torchrun(name: str, default: int) -> int:
    """A number that torchrun sets.

    Raises:
        UsageError: it is none.
    """
    text = os.environ.get(name, str(default))
    found = values.digits(text, _MOST_PROCESSES)
    if found is None or (default and not found):
        raise UsageError(f"${name} is no number of torchrun's: {values.short(text)}", f"unset {name}")
    return found


def _checkpointing(recipe: Recipe) -> dict[str, Any]:
    """Activations computed again, under the name that this transformers has for it (5.17 has another)."""
    known = transformers.TrainingArguments.__dataclass_fields__
    name = "activation_checkpointing"
    name = name if name in known else "gradient_checkpointing"
    return {name: recipe.gradient_checkpointing, f"{name}_kwargs": {"use_reentrant": False}}


def by_first(work: Callable[[], _T]) -> _T:
    """What the first of all processes finds, known to each; its failure is each one's.

    Where there are several, they are connected already (``training_arguments``), and all call together.

    Raises:
        SvlmError: the work does.
    """
    if world_size() == 1:
        return work()
    found: list[Any] = [None]
    if rank() == 0:
        try:
            found = [work()]
        except SvlmError as error:
            found = [error]
    (result,) = broadcast_object_list(found)
    if isinstance(result, SvlmError):
        raise result
    return result  # type: ignore[no-any-return]


def _sharding(recipe: Recipe) -> dict[str, Any]:
    if recipe.parallel == "fsdp2":
        return {
            "fsdp": True,
            "fsdp_config": {
                "version": 2,
                "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "reshard_after_forward": True,
                "state_dict_type": "FULL_STATE_DICT",
            },
        }
    if recipe.parallel == "zero3":
        if importlib.util.find_spec("deepspeed") is None:
            raise UsageError("parallel: zero3 needs DeepSpeed", "pip install deepspeed, or use fsdp2")
        return {"deepspeed": zero3()}
    return {}


def zero3() -> dict[str, Any]:
    """DeepSpeed's settings; ``auto`` takes the Trainer's."""
    return {
        "bf16": {"enabled": "auto"},
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": True,
            "contiguous_gradients": True,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "zero_allow_untested_optimizer": True,
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }
