"""What lies in a checkpoint's folder: which files hold its weights, and whether they are quantised.

Read from ``config.json`` and the headers of the weights, without a tensor, so that what cannot be opened as
its author meant is refused in a second, in a dry run too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from svlm_cli.documents import read_json
from svlm_cli.errors import ModelError
from svlm_cli.model.seal import check_weights, refuse_pointer

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MODELOPT_FILE = "hf_quant_config.json"
PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
DEQUANTISED = "fp8"  # blocks of FP8 with their scales, which transformers multiplies out
_SECTIONS = ("quantization_config", "quantization", "compression_config")
_PLAIN_NUMBERS = ("F64", "F32", "F16", "BF16")
_SCALES = (  # how the names end of what belongs to quantised weights
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_scale_2",
    ".weight_zero_point",
    ".weight_packed",
    ".weight_shape",
    ".weight_g_idx",
    ".input_scale",
    ".input_zero_point",
    ".output_scale",
    ".activation_scale",
    ".k_scale",
    ".v_scale",
    ".qweight",
    ".qzeros",
    ".scales",
    ".biases",
    ".g_idx",
    ".SCB",
    ".weight_format",
    ".absmax",
    ".quant_map",
    ".nested_absmax",
    ".nested_quant_map",
    "._amax",
    "._scale",
)
_DISTRIBUTED = re.compile(r"shard-[0-9]{5}-model-[0-9]{5}-of-[0-9]{5}\.safetensors$")
_AGAIN = "download it again"
_BLOCK = (128, 128)  # of FP8 where a configuration names none


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a header describes it.

    Args:
        file: the file that holds it.
        numbers: safetensors' name of its number format, such as ``BF16``.
        shape: its shape.
    """

    file: Path
    numbers: str
    shape: tuple[int, ...]


def check_stored(folder: Path, name: str, config: Mapping[str, Any]) -> str | None:
    """Whether a checkpoint's weights are whole and of a kind that opens as its author meant.

    Args:
        folder: the checkpoint's folder.
        name: the name of the model, as the user gave it.
        config: the content of its ``config.json``.

    Returns:
        The quantisation that has to be multiplied out while it is opened; None for plain weights.

    Raises:
        ModelError: weights are missing, damaged, doubled, pickled, or quantised as svlm does not read.
    """
    method = quantisation(config, _modelopt(folder, name))
    check_quantisation(method, name)
    check_weights(folder, hashed=False)
    if parts := sorted(path.name for path in folder.iterdir() if _DISTRIBUTED.match(path.name)):
        raise ModelError(
            f"the model folder {name} holds parts of a distributed checkpoint ({parts[0]}), which "
            "transformers would open in place of the weights",
            "gather them into one checkpoint, or move them away",
        )
    if (folder / WEIGHTS_FILE).is_file() and (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"the model folder {name} holds an adapter beside its weights (adapter_config.json)",
            "move the adapter to a folder of its own and name that with --adapter",
        )
    tensors = stored_tensors(weight_files(folder, name, config), name)
    if method is None:
        _check_plain(tensors, name)
    else:
        _check_blocks(tensors, config, name)
    return method


def quantisation(config: Mapping[str, Any], modelopt: Mapping[str, Any] | None = None) -> str | None:
    """How a configuration says that weights are quantised; None for plain ones.

    Args:
        config: the content of a ``config.json``, whose sections may say it too.
        modelopt: the content of ``hf_quant_config.json``.
    """
    parts = [config, *(part for part in config.values() if isinstance(part, Mapping))]
    found = [part[key] for part in parts for key in _SECTIONS if part.get(key)]
    if not found:
        return "modelopt" if modelopt is not None and not _says_plain(modelopt) else None
    said = next((each for each in found if isinstance(each, Mapping)), {})
    if method := said.get("quant_method"):
        return str(method)
    if said.get("load_in_4bit") or said.get("load_in_8bit"):
        return "bitsandbytes"
    if "quant_algo" in said or "producer" in said:
        return "modelopt"
    return "mlx" if "group_size" in said else "an unknown way"


def _says_plain(modelopt: Mapping[str, Any]) -> bool:
    """Whether ModelOpt's own file says that it has quantised nothing."""
    section = modelopt.get("quantization")
    algorithms = ("quant_algo", "kv_cache_quant_algo")
    return isinstance(section, Mapping) and "quant_algo" in section and not any(map(section.get, algorithms))


def check_quantisation(method: str | None, name: str) -> None:
    """Refuse what cannot be opened right.

    Args:
        method: what ``quantisation`` found.
        name: the name of the model, as the user gave it.

    Raises:
        ModelError: it is neither None nor FP8 in blocks.
    """
    if method in (None, DEQUANTISED):
        return
    raise ModelError(
        f"the model {name} is quantised ({method}), which svlm does not read",
        "name the checkpoint in 16 or 32 bits that it was made from",
    )


def weight_files(folder: Path, name: str, config: Mapping[str, Any]) -> list[Path]:
    """The files that hold a checkpoint's weights, chosen as transformers chooses: one file before an index.

    Raises:
        ModelError: there are none, or not all.
    """
    chosen = config.get("transformers_weights")
    if chosen is not None and not _is_plain_name(chosen, (".safetensors", ".safetensors.index.json")):
        raise ModelError(f"config.json of the model {name} names weights that are no safetensors: {chosen}")
    for file in (WEIGHTS_FILE, INDEX_FILE) if chosen is None else (chosen,):
        if (folder / file).is_file():
            return _shards(folder, name, file) if file.endswith(".json") else [folder / file]
    raise _no_weights(folder, name, chosen or WEIGHTS_FILE)


def stored_tensors(files: Sequence[Path], name: str) -> dict[str, StoredTensor]:
    """All tensors of files by their names, from their headers.

    Raises:
        ModelError: a file is damaged or no safetensors, or two hold a tensor of one name.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for key, tensor in _headers(file, name):
            if key in tensors:
                raise ModelError(
                    f"the model {name} holds {key} twice, in {tensors[key].file.name} and {file.name}: "
                    "files of two checkpoints"
                )
            tensors[key] = tensor
    return tensors


def _headers(file: Path, name: str) -> Iterator[tuple[str, StoredTensor]]:
    try:
        refuse_pointer(file, name)
        with safe_open(file, framework="numpy") as header:
            for key in header.keys():  # noqa: SIM118 - it is no dict
                part = header.get_slice(key)
                yield key, StoredTensor(file, part.get_dtype(), tuple(part.get_shape()))
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"the weights of the model {name} cannot be opened: {file.name}: {error}", _AGAIN
        ) from error


def _check_plain(tensors: Mapping[str, StoredTensor], name: str) -> None:
    """Weights that no configuration calls quantised must be numbers as they are."""
    scales = [key for key in tensors if key.endswith(tuple(_SCALES))]
    packed = _packed(tensors)
    if scales or packed:
        odd = (scales or packed)[0]
        kind = "" if scales else f" in {tensors[odd].numbers}"
        raise ModelError(
            f"the model {name} is quantised, though its config.json does not say how: {odd}{kind}",
            "name the checkpoint in 16 or 32 bits that it was made from",
        )


def _packed(tensors: Mapping[str, StoredTensor]) -> list[str]:
    """Names of weights whose numbers mean nothing without a scale."""
    return [
        key
        for key, tensor in tensors.items()
        if tensor.numbers not in _PLAIN_NUMBERS and key.endswith(("weight", "bias", "_proj"))
    ]


def _check_blocks(tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], name: str) -> None:
    """FP8 must have its scales, and blocks divide their weights.

    transformers takes what has no scale beside it for plain numbers, and all blocks for equally large.
    """
    if bare := [key for key in _packed(tensors) if f"{key}_scale_inv" not in tensors]:
        raise ModelError(
            f"the model {name} is quantised (fp8), and {bare[0]} has no scale ({bare[0]}_scale_inv)",
            "name the checkpoint in 16 or 32 bits that it was made from",
        )
    if experts := [key for key in tensors if key.endswith("_proj_scale_inv")]:
        raise ModelError(
            f"the model {name} is quantised (fp8) with the experts of a layer in one tensor, which svlm does "
            f"not read: {experts[0].removesuffix('_scale_inv')}",
            "name the checkpoint in 16 or 32 bits that it was made from",
        )
    found = [config[key] for key in _SECTIONS if isinstance(config.get(key), Mapping)]
    said: Mapping[str, Any] = found[0] if found else {}
    block = said.get("weight_block_size", _BLOCK)
    if not isinstance(block, list | tuple) or len(block) != 2:
        return
    for key, scale in tensors.items():
        weight = tensors.get(key.removesuffix("_scale_inv"))
        if not key.endswith(".weight_scale_inv") or weight is None or len(scale.shape) < 2:
            continue
        axes = zip(weight.shape[-2:], scale.shape[-2:], block, strict=True)
        if any(number > 1 and number * size != length for length, number, size in axes):
            raise ModelError(
                f"the model {name} is quantised (fp8) in blocks of {block[0]} x {block[1]} that do not "
                f"divide {key.removesuffix('_scale_inv')}, which svlm does not read",
                "name the checkpoint in 16 or 32 bits that it was made from",
            )


def _shards(folder: Path, name: str, index: str) -> list[Path]:
    try:
        weight_map = read_json(folder / index)["weight_map"]
    except (KeyError, TypeError):
        weight_map = None
    except (OSError, ValueError) as error:
        raise ModelError(f"{index} of the model {name} cannot be read: {error}", _AGAIN) from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"the index of the model {name} names no weight files", _AGAIN)
    shards = sorted({str(shard) for shard in weight_map.values()})
    if pickles := [shard for shard in shards if shard.endswith(PICKLED_SUFFIXES)]:
        raise _pickled(name, pickles[0])
    if odd := [shard for shard in shards if not _is_plain_name(shard, (".safetensors",))]:
        raise ModelError(f"the index of the model {name} names what is no file of weights: {odd[0]}")
    if missing := [shard for shard in shards if not (folder / shard).is_file()]:
        raise ModelError(f"the model {name} lacks weight files: {', '.join(missing)}", _AGAIN)
    return [folder / shard for shard in shards]


def _no_weights(folder: Path, name: str, wanted: str) -> ModelError:
    names = sorted(path.name for path in folder.iterdir())
    if pickles := [each for each in names if each.endswith(PICKLED_SUFFIXES)]:
        return _pickled(name, pickles[0])
    if gguf := [each for each in names if each.endswith(".gguf")]:
        return ModelError(
            f"the model {name} has weights for llama.cpp only ({gguf[0]})",
            "name the checkpoint that they were made from",
        )
    if others := [each for each in names if each.endswith(".safetensors")]:
        return ModelError(
            f"the model folder {name} has no {wanted} and no index ({INDEX_FILE}) of its {len(others)} other "
            f"files of weights, the first is {others[0]}"
        )
    return ModelError(f"the model folder {name} has no weights ({wanted})")


def _pickled(name: str, file: str) -> ModelError:
    return ModelError(
        f"the model {name} has pickled weights only ({file}), which can run code when opened",
        "convert them to safetensors",
    )


def _modelopt(folder: Path, name: str) -> Mapping[str, Any] | None:
    path = folder / MODELOPT_FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} of the model {name} cannot be read: {error}") from error
    return content if isinstance(content, dict) else {}


def _is_plain_name(name: object, endings: tuple[str, ...]) -> bool:
    return isinstance(name, str) and name.endswith(endings) and Path(name).name == name
