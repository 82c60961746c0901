"""The mean of models that were trained on from the same weights, which is often better than each of them.

Wortsman et al., "Model soups" (arXiv 2203.05482). ``python -m svlm_cli.train.average OUT MODEL MODEL ...``
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from svlm_cli.errors import ModelError, UsageError, boundary
from svlm_cli.model.checkpoint.folder import new_model_folder
from svlm_cli.model.seal import SEAL_FILE, check_weights
from svlm_cli.modules import ModuleParser, run_module

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OF_ONE_RUN = (SEAL_FILE, "result.json", ".*")  # what is said of the first model and not true of the mean


def average(models: Sequence[Path], out: Path) -> None:
    """Write a model whose weights are the mean of others', summed in float32.

    Args:
        models: folders with one ``model.safetensors`` each; all but the weights is taken from the first,
            without its seal and result.
        out: folder to write; must not exist.

    Raises:
        UsageError: fewer than two models, or ``out`` exists.
        ModelError: a model has no such file, a damaged one, or not the same tensors.
        OutputError: somebody else is writing it.
    """
    if len(models) < 2:
        raise UsageError("an average needs two models or more")
    with new_model_folder(out) as unfinished:
        write_mean(models, unfinished)


def write_mean(models: Sequence[Path], out: Path, dtype: torch.dtype | None = None) -> None:
    """Write the mean into a new folder, with no seal.

    Args:
        models, out: see ``average``.
        dtype: of all weights; None for those of the first model.

    Raises:
        ModelError: see ``average``.
    """
    mean = _mean(models)
    shutil.copytree(models[0], out, ignore=shutil.ignore_patterns(*OF_ONE_RUN))
    if dtype is not None:
        mean = {name: tensor.to(dtype) for name, tensor in mean.items()}
        config = json.loads((out / CONFIG).read_text(encoding="utf-8"))
        told = json.dumps(config | {"dtype": str(dtype).removeprefix("torch.")}, indent=2, sort_keys=True)
        (out / CONFIG).write_text(f"{told}\n", encoding="utf-8")
    save_file(mean, out / WEIGHTS, metadata={"format": "pt"})


def _mean(models: Sequence[Path]) -> dict[str, torch.Tensor]:
    first = _weights(models[0])
    total = {name: tensor.float() for name, tensor in first.items()}
    for model in models[1:]:
        weights = _weights(model)
        if {name: tensor.shape for name, tensor in weights.items()} != {
            name: tensor.shape for name, tensor in total.items()
        }:
            raise ModelError(f"{model} has other weights than {models[0]}")
        for name, tensor in weights.items():
            total[name] += tensor.float()
    return {name: (tensor / len(models)).to(first[name].dtype) for name, tensor in total.items()}


def _weights(model: Path) -> dict[str, torch.Tensor]:
    if not (model / WEIGHTS).is_file():
        raise ModelError(f"{model} holds no {WEIGHTS}")
    check_weights(model, hashed=True)
    with boundary(f"the weights of {model} cannot be read", ModelError):
        return dict(load_file(model / WEIGHTS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = ModuleParser(prog="python -m svlm_cli.train.average", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("models", type=Path, nargs="+", help="folders of models, as svlm train writes them")
    chosen = parser.parse_args(arguments)

    def work() -> str:
        average(chosen.models, chosen.out)
        return str(chosen.out)

    return run_module(work)


if __name__ == "__main__":
    sys.exit(main())
