"""LoRA adapters as PEFT stores them, merged into a network's weights when it is opened.

So streaming runs at the base model's speed, and the engine sees a plain network.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from svlm_cli.documents import read_json
from svlm_cli.errors import ModelError, boundary
from svlm_cli.model.checkpoint.adapter_keys import fit_adapter
from svlm_cli.model.patches import pixel_limits
from svlm_cli.model.seal import check_weights

CONFIG_FILE = "adapter_config.json"
ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"
SETTINGS_FILE = "svlm.json"
# Trained whole beside the LoRA by some trainers, which add it themselves; PEFT reads none of it.
_BESIDE = ("non_lora*", "vit.safetensors")
_ADAPTERS_OWN = ("lora_", "modules_to_save", "trainable_tokens_")


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
    if not (folder / ADAPTER_WEIGHTS_FILE).is_file():
        if list(folder.glob("*.bin")):
            raise ModelError(
                f"the adapter {folder} has pickled weights only, which can run code when opened",
                "convert them to safetensors",
            )
        raise ModelError(f"the adapter folder {folder} has no weights ({ADAPTER_WEIGHTS_FILE})")
    if beside := sorted(path.name for pattern in _BESIDE for path in folder.glob(pattern)):
        raise ModelError(
            f"the adapter {folder} has trained weights beside its LoRA ({beside[0]}), without which it is "
            "another model",
            "merge both into a checkpoint with what trained them, and name that with --model",
        )
    check_weights(folder, hashed=False)
    return folder


def base_of(folder: Path) -> str | None:
    """The base model that an adapter's folder names; None where the folder holds no adapter."""
    try:
        return str(read_json(folder / CONFIG_FILE)["base_model_name_or_path"] or "") or None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stored_settings(folder: Path) -> dict[str, Any]:
    """What an adapter was trained with, as far as it says: pixel limits, the format of prompts.

    Raises:
        ModelError: it is there and cannot be read.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        stored = read_json(path)
        pixel_limits(stored)
        return dict(stored)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def merge_adapter(network: Any, folder: Path, name: str, dtype: torch.dtype) -> Any:
    """The network with an adapter's update added to its weights, by PEFT.

    Args:
        network: the network in float32, so that weights are rounded once, behind the sum.
        folder: the folder of an adapter that ``check_adapter`` has passed.
        name: the name of the model, as the user gave it.
        dtype: the number format of the weights afterwards.

    Raises:
        ModelError: it does not fit the network or is damaged.
    """
    import peft

    from svlm_cli.model.checkpoint.network import note_tie

    stored = _stored(folder)
    misfit = f"the adapter {folder} does not fit the model"
    with (
        boundary(misfit, ModelError, _base_hint(folder, name)),
        warnings.catch_warnings(),  # PEFT's, on ties that are cut below and on names
    ):
        warnings.simplefilter("ignore")
        _check_known(folder, {field.name for field in fields(peft.LoraConfig)})
        try:
            fitted = fit_adapter(network, peft.PeftConfig.from_pretrained(str(folder)), stored)
        except ModelError as error:
            raise ModelError(f"{misfit}: {error.message}", _base_hint(folder, name)) from error
        adapted = peft.get_peft_model(network, fitted.config)
        report = peft.set_peft_model_state_dict(adapted, fitted.weights)
        if odd := [*report.unexpected_keys, *_absent(adapted, report.missing_keys)]:
            raise ModelError(f"{misfit}: {len(odd)} weights, the first is {odd[0]}", _base_hint(folder, name))
        _untie(adapted.get_base_model())
        _settle(adapted.get_base_model())
        merged = adapted.merge_and_unload()
    note_tie(merged)
    for weight in merged.parameters():  # not buffers: the angles of RoPE stay in float32
        weight.data = weight.data.to(dtype)
    return merged


def _check_known(folder: Path, known: Collection[str]) -> None:
    """Refuse what a newer PEFT has switched on, which this one would leave out with a warning."""
    settings = read_json(folder / CONFIG_FILE)
    odd = [key for key, value in settings.items() if key not in known and (value is True or _holds(value))]
    if odd:
        raise ModelError(
            f"the adapter {folder} sets {odd[0]}, which the installed PEFT does not know",
            "pip install --upgrade peft",
        )


def _holds(value: object) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _stored(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    with boundary(f"the weights of the adapter {folder} cannot be opened", ModelError):
        weights = dict(load_file(folder / ADAPTER_WEIGHTS_FILE))
    for key, tensor in weights.items():
        if not tensor.isfinite().all():  # behind the sum they would be the base's
            raise ModelError(
                f"the weights of the adapter {folder} are damaged: numbers of {key} are not finite",
                "download it again, or go back to an earlier checkpoint",
            )
    return weights


def _absent(adapted: Any, missing: Collection[str]) -> list[str]:
    """Tensors of the adapter itself that were not stored, under no other name of them either."""
    named = dict(adapted.named_parameters(remove_duplicate=False))
    there = {id(weight) for name, weight in named.items() if name not in set(missing)}
    own = [name for name in missing if any(mark in name for mark in _ADAPTERS_OWN)]
    return [name for name in own if id(named.get(name)) not in there]


def _untie(network: Any) -> None:
    """Give a head its own weights where it shares them with embeddings and one of the two is adapted.

    An update of one is none of the other, and added to weights that both use it would count for both.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    head, embedding = network.get_output_embeddings(), network.get_input_embeddings()
    if not any(isinstance(each, BaseTunerLayer | AuxiliaryTrainingWrapper) for each in (head, embedding)):
        return
    shared = {id(weight) for weight in embedding.parameters()}
    for part in head.modules():
        weight = dict(part.named_parameters(recurse=False)).get("weight")
        if weight is not None and id(weight) in shared:
            part.weight = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)


def _settle(network: Any) -> None:
    """Merge what lies within a LoRA: PEFT would leave the wrapper, and the LoRA out.

    Trained tokens of embeddings are trained tokens of a tied head too, around which LoRA may be.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    for module in list(network.modules()):
        inner = getattr(module, "base_layer", None)
        if isinstance(module, BaseTunerLayer) and isinstance(inner, AuxiliaryTrainingWrapper):
            module.base_layer = inner.unload_and_optionally_merge_module(
                merge=True, safe_merge=False, adapter_names=None
            )


def _base_hint(folder: Path, name: str) -> str:
    base = base_of(folder)
    return f"it was trained on {base}: name that with --model" if base and base != name else ""
