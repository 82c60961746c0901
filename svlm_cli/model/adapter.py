"""LoRA adapters as PEFT stores them, merged into a network's weights when it is opened.

So streaming runs at the base model's speed, and the engine sees a plain network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from svlm_cli.documents import read_json
from svlm_cli.errors import ModelError
from svlm_cli.model.seal import check_weights

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PIXELS_FILE = "svlm.json"


def check_adapter(folder: Path) -> Path:
    """The folder again, if it holds a LoRA adapter in safetensors.

    Raises:
        ModelError: it is something else; says what.
    """
    if not (folder / CONFIG_FILE).is_file():
        if (folder / "config.json").is_file():
            raise ModelError(f"{folder} is a whole checkpoint, not an adapter", "name it with --model")
        raise ModelError(
            f"the adapter folder {folder} has no {CONFIG_FILE}", "is this the adapter's own folder?"
        )
    try:
        kind = read_json(folder / CONFIG_FILE)["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{CONFIG_FILE} of the adapter {folder} cannot be read: {error!r}") from error
    if kind != "LORA":
        raise ModelError(f"the adapter {folder} is of type {kind}", "svlm merges LoRA adapters")
    if not (folder / WEIGHTS_FILE).is_file():
        if list(folder.glob("*.bin")):
            raise ModelError(
                f"the adapter {folder} has pickled weights only, which can run code when opened",
                "convert them to safetensors",
            )
        raise ModelError(f"the adapter folder {folder} has no weights ({WEIGHTS_FILE})")
    check_weights(folder, hashed=False)
    return folder


def base_of(folder: Path) -> str | None:
    """The base model that an adapter's folder names; None where the folder holds no adapter."""
    try:
        return str(read_json(folder / CONFIG_FILE)["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stored_pixels(folder: Path) -> dict[str, int]:
    """The pixel limits that an adapter was trained with, as far as it says.

    Raises:
        ModelError: they are there and cannot be read.
    """
    path = folder / PIXELS_FILE
    if not path.is_file():
        return {}
    try:
        stored = read_json(path)
        return {key: int(stored[key]) for key in ("min_pixels", "max_pixels") if key in stored}
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def merge_adapter(network: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The network with an adapter's update added to its weights, by PEFT.

    Args:
        network: in float32, so that weights are rounded once, behind the sum.
        folder: the folder of an adapter that ``check_adapter`` has passed.
        dtype: the number format of the weights afterwards.

    Raises:
        ModelError: it does not fit the network or is damaged.
    """
    import peft
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(folder / WEIGHTS_FILE)
        config = peft.PeftConfig.from_pretrained(str(folder))
        adapted = peft.get_peft_model(network, config)
        report = peft.set_peft_model_state_dict(adapted, stored)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the weights of the adapter {folder} cannot be opened: {error}") from error
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ModelError(
            f"the adapter {folder} does not fit the model: {reason}", _base_hint(folder)
        ) from error
    absent = [key for key in report.missing_keys if "lora_" in key]
    if absent or report.unexpected_keys:
        odd = [*report.unexpected_keys, *absent]
        raise ModelError(
            f"the adapter {folder} does not fit the model: {len(odd)} weights, the first is {odd[0]}",
            _base_hint(folder),
        )
    merged = adapted.merge_and_unload()
    for weight in merged.parameters():  # not buffers: the angles of RoPE stay in float32
        weight.data = weight.data.to(dtype)
    return merged


def _base_hint(folder: Path) -> str:
    base = base_of(folder)
    return f"it was trained on {base}: name that with --model" if base else ""
