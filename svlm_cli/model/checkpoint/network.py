"""A network with a checkpoint's weights in it, as transformers opens them, or one error that says why not.

transformers reports what did not fit and goes on: a weight that is missing is drawn at random, one that has
no place is left out. Here that report is read.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
import transformers

from svlm_cli.errors import ModelError, boundary
from svlm_cli.model.library import silent_library

_WRAPPERS = ("model", "module", "base_model", "_orig_mod")


def open_network(
    folder: Path, name: str, class_name: str, dtype: torch.dtype, attention: str, method: str | None = None
) -> Any:
    """The network of a checkpoint, on the CPU.

    Args:
        folder: the folder of a checkpoint that ``check_stored`` has passed.
        name: the name of the model, as the user gave it.
        class_name: the name of transformers' class.
        dtype: the number format of the weights.
        attention: transformers' name of a kernel.
        method: what ``check_stored`` returned; quantised weights are multiplied out.

    Raises:
        ModelError: weights are missing, have another shape, or no place in the network.
    """
    known = (
        {} if method is None else {"quantization_config": transformers.FineGrainedFP8Config(dequantize=True)}
    )
    with boundary(f"the weights of the model {name} cannot be opened", ModelError), silent_library():
        network, report = getattr(transformers, class_name).from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **known,
        )
    _check_report(network, report, name)
    note_tie(network)
    return network


def note_tie(network: Any) -> None:
    """Write into a network's configuration whether its head is its embeddings.

    As it is, not as it was told: what is saved from it then opens as it is.
    """
    head, embedding = network.get_output_embeddings(), network.get_input_embeddings()
    network.config.tie_word_embeddings = head.weight is embedding.weight


def _check_report(network: Any, report: dict[str, Any], name: str) -> None:
    absent = sorted(report["missing_keys"])
    if absent:
        raise ModelError(
            f"the model {name} lacks {len(absent)} weights, the first is {absent[0]}",
            _hint_on_missing(absent, report["unexpected_keys"]),
        )
    if odd := sorted(report["mismatched_keys"]):
        key, stored, wanted = odd[0]
        raise ModelError(
            f"{len(odd)} weights of the model {name} have not the shape that its config.json gives, "
            f"the first is {key}: {tuple(stored)}, not {tuple(wanted)}",
            "does config.json belong to these weights?",
        )
    if homeless := sorted(key for key in report["unexpected_keys"] if _is_of(network, key)):
        raise ModelError(
            f"the model {name} holds {len(homeless)} weights for which its config.json has no place, "
            f"the first is {homeless[0]}",
            "does config.json belong to these weights?",
        )


def _hint_on_missing(absent: Collection[str], unexpected: Collection[str]) -> str:
    if set(absent) == {"lm_head.weight"}:
        return 'if its head is its embeddings, config.json needs "tie_word_embeddings": true at its top'
    stems = {key.removeprefix("model.").removeprefix("language_model.") for key in absent}
    if similar := sorted(key for key in unexpected if any(key.endswith(f".{stem}") for stem in stems)):
        return f"they may be there under another name: {similar[0]}"
    return ""


def _is_of(network: Any, key: str) -> bool:
    """Whether a stored weight belongs to a part that the network has.

    What else a file holds (a value head, layers that guess ahead, a voice) is another network's; angles of
    RoPE, which some files hold, are computed anew.
    """
    if key.endswith(".inv_freq"):
        return False
    parts = key.split(".")
    while len(parts) > 1 and parts[0] in _WRAPPERS:
        del parts[0]
    inner = network.model
    rooms = (network, inner, *inner.children())
    return parts[0] in {child for room in rooms for child, _ in room.named_children()}
