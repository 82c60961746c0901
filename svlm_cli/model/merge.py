"""An adapter merged into its base for good: ``python -m svlm_cli.model.merge BASE ADAPTER OUT``.

The checkpoint opens with ``svlm stream --model OUT`` and whatever else reads the base. Its weights are summed
in float32 and rounded once, to the numbers that the base is stored in.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from svlm_cli.documents import read_json
from svlm_cli.errors import ModelError, boundary
from svlm_cli.files import sha256_of
from svlm_cli.model.adapter import ADAPTER_WEIGHTS_FILE, stored_settings
from svlm_cli.model.checkpoint.folder import new_model_folder
from svlm_cli.model.checkpoint.stored import MODELOPT_FILE, stored_tensors, weight_files
from svlm_cli.model.load import HUB_FILES, checkpoint_folder, load_model
from svlm_cli.model.seal import SEAL_FILE, write_seal
from svlm_cli.modules import ModuleParser, run_module

_NUMBERS = {"F64": torch.float32, "F32": torch.float32, "F16": torch.float16}  # else bfloat16
_OF_THE_BASE_ALONE = ("*.safetensors", "*.safetensors.index.json", SEAL_FILE, MODELOPT_FILE, "result.json")


def merge(base: str, adapter: str, out: Path) -> None:
    """Write a checkpoint that is a base with an adapter's update in its weights.

    Args:
        base: the folder or Hugging Face id of a checkpoint.
        adapter: the folder or Hugging Face id of a LoRA adapter.
        out: the folder to write; it must not exist.

    Raises:
        UsageError: ``out`` exists.
        ModelError: one of the two cannot be opened, or the adapter does not fit.
        OutputError: somebody else is writing ``out``.
    """
    with new_model_folder(out) as unfinished:
        folder, update = checkpoint_folder(base), checkpoint_folder(adapter)
        opened = load_model(base, adapter=adapter, device="cpu", dtype="float32")
        network = opened.network
        for weight in network.parameters():
            weight.data = weight.data.to(_numbers(folder, base))
        if trained := stored_settings(update):
            network.config.svlm = getattr(network.config, "svlm", {}) | trained
        unfinished.mkdir()
        _copy_what_is_beside(folder, unfinished)
        with boundary(f"the model {out} cannot be written", ModelError):
            network.save_pretrained(unfinished)
        adapter_sha256 = sha256_of(update / ADAPTER_WEIGHTS_FILE)
        made_from = {"base": base, "adapter": adapter, "adapter_sha256": adapter_sha256}
        write_seal(unfinished, made_from)


def _numbers(folder: Path, name: str) -> torch.dtype:
    """The number format of most of a checkpoint's weights."""
    config: dict[str, Any] = read_json(folder / "config.json")
    sizes: Counter[str] = Counter()
    for tensor in stored_tensors(weight_files(folder, name, config), name).values():
        sizes[tensor.numbers] += torch.Size(tensor.shape).numel()
    return _NUMBERS.get(sizes.most_common(1)[0][0], torch.bfloat16)


def _copy_what_is_beside(folder: Path, out: Path) -> None:
    """Tokenizer, preprocessor, chat template."""
    for path in sorted(folder.iterdir()):
        wanted = any(path.match(pattern) for pattern in HUB_FILES)
        if wanted and path.is_file() and not any(path.match(pattern) for pattern in _OF_THE_BASE_ALONE):
            shutil.copyfile(path, out / path.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = ModuleParser(prog="python -m svlm_cli.model.merge", description=__doc__)
    parser.add_argument("base", help="folder or Hugging Face id of the checkpoint")
    parser.add_argument("adapter", help="folder or Hugging Face id of the adapter")
    parser.add_argument("out", type=Path, help="folder to write")
    chosen = parser.parse_args(arguments)

    def work() -> str:
        merge(chosen.base, chosen.adapter, chosen.out)
        return str(chosen.out)

    return run_module(work)


if __name__ == "__main__":
    sys.exit(main())
