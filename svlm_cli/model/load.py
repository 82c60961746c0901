"""Opening a checkpoint: safetensors only, no remote code, one clear error per thing that is wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from svlm_cli.errors import ModelError, UsageError, boundary
from svlm_cli.model.adapter import check_adapter, merge_adapter
from svlm_cli.model.checkpoint.stored import check_stored, weight_files
from svlm_cli.model.device import check_quantize, keep_few_sizes, named_device, named_dtype
from svlm_cli.model.family.described import describe, read_config
from svlm_cli.model.family.guard import check_turning
from svlm_cli.model.family.table import FAMILIES
from svlm_cli.model.kernels.memory import give_back
from svlm_cli.model.lean.config import lean_config
from svlm_cli.model.lean.layers import Format
from svlm_cli.model.lean.network import LeanNetwork, open_lean
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.states.choice import kv_format

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "arena"
BUNDLED_NAME = "bundled"
RANDOM = "random"  # what the docs call a random checkpoint
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
BESIDE_ADAPTERS = "non_lora*"  # never opened: that it is there is an error
ATTENTIONS = ("sdpa", "flash_attention_2")


@dataclass(frozen=True, slots=True)
class _CheckpointFiles:
    """A checkpoint: its name as the user gave it, how its weights are quantised, an adapter's folder."""

    folder: Path
    name: str
    config: dict[str, Any]
    adapter: Path | None
    method: str | None


@dataclass(frozen=True, slots=True)
class _RunOptions:
    """How a network is to run, as ``load_model`` has it."""

    quantize: str
    attention: str
    packed: bool
    compiled: bool
    graphs: str


@dataclass(frozen=True, slots=True)
class _Machine:
    """What a network is opened on; ``attention`` is transformers' name of a kernel."""

    device: torch.device
    dtype: torch.dtype
    attention: str


def load_model(
    name: str | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    threads: int | None = None,
    adapter: str | None = None,
    quantize: str = "none",
    kv_cache: str = "auto",
    packed: bool = False,
    compiled: bool = False,
    graphs: str = "auto",
) -> VideoLanguageModel:
    """Open a checkpoint for streaming.

    Args:
        name: folder or Hugging Face id; None takes ``$SVLM_MODEL``, else the bundled arena model.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` (bfloat16 on CUDA, float32 on the CPU), ``float32`` or ``bfloat16``.
        attention: ``auto`` (flash-attention 2 for the tower on CUDA), ``sdpa``, or ``flash_attention_2``.
        threads: CPU threads torch computes with, None for torch's own choice.
        adapter: folder or Hugging Face id of a LoRA adapter to add to the weights, in float32.
        quantize: ``none``; on the CPU ``int8`` or, the language model in four bits, ``int4``.
        kv_cache: format of cached keys and values, or ``auto``; another than the model's on the CPU alone.
        packed: lay linear layers out for the CPU's kernels: faster, no training. Not where ``compiled``.
        compiled: feed words through ``torch.compile``; the first takes seconds.
        graphs: ``auto``, ``on`` or ``off``: replay the feeding of a word as a CUDA graph.

    Raises:
        ModelError: a device is not there, or a checkpoint or adapter is not, is damaged, pickled or foreign.
        UsageError: an option unknown, or one that the device or the attention kernel has not.
    """
    machine = _machine(device, dtype, attention, quantize)
    if threads is not None:
        torch.set_num_threads(threads)
    wanted = name or os.environ.get("SVLM_MODEL") or str(BUNDLED)
    folder = checkpoint_folder(wanted)
    adapter_folder = None if adapter is None else check_adapter(checkpoint_folder(adapter))
    with boundary(f"the model {wanted} cannot be opened", ModelError):
        config = read_config(folder, wanted)
        told = describe(folder, wanted, config, adapter_folder, packed=packed)  # before gigabytes are read
        kept = _CheckpointFiles(folder, wanted, config, adapter_folder, check_stored(folder, wanted, config))
        network, forward = _opened(kept, machine, _RunOptions(quantize, attention, packed, compiled, graphs))
        opened = VideoLanguageModel(
            name=BUNDLED_NAME if folder == BUNDLED else wanted,
            adapter=adapter,
            quantize=quantize,
            is_bundled=folder == BUNDLED,
            network=network.eval(),
            tokenizer=told.tokenizer,
            markup=told.markup,
            patches=told.patches,
            tokens_per_second=told.tokens_per_second,
            word_forward=forward,
            prompt_format=told.prompt_format,
            suggested_questions=told.suggested_questions,
        )
        cached = kv_format(kv_cache, network, opened.reads_any_format, is_quantized=quantize != "none")
        return check_turning(replace(opened, kv_cache=cached))


def _machine(device: str, dtype: str, attention: str, quantize: str) -> _Machine:
    keep_few_sizes()
    where = named_device(device)
    number = named_dtype(dtype, where)
    check_quantize(quantize, where)
    return _Machine(where, number, _attention(attention, where, number))


def _attention(attention: str, device: torch.device, dtype: torch.dtype) -> str:
    usable = device.type == "cuda" and dtype is torch.bfloat16
    if attention == "auto":
        return "flash_attention_2" if usable and _has_flash() else "sdpa"
    if attention not in ATTENTIONS:
        raise UsageError(f"--attention {attention} is not known", "use auto, sdpa or flash_attention_2")
    if attention == "flash_attention_2":
        if not usable:
            raise UsageError(
                "flash-attention 2 needs --device cuda and --dtype bfloat16", "or use --attention sdpa"
            )
        if not _has_flash():
            raise ModelError("flash-attention 2 is not installed", "pip install flash-attn")
    return attention


def _has_flash() -> bool:
    from transformers.utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available())


def require_hub_id(name: str) -> None:
    """Nobody is asked for what can be no Hugging Face id.

    Raises:
        ModelError: ``name`` is no folder either, then.
    """
    if Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        hint = "give a folder or a Hugging Face id such as owner/name"
        if Path(name).name == RANDOM:
            hint = (
                "recipes/smoke.sh CLIP makes one and trains it; python -m svlm_cli.model.random_checkpoint "
                f"{name} --size tiny makes one"
            )
        raise ModelError(f"there is no model folder {name}", hint)


def checkpoint_folder(name: str) -> Path:
    """The local folder of a checkpoint or adapter; hub ids are downloaded (or found in the hub's cache).

    Raises:
        ModelError: there is none.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path == BUNDLED:
        raise ModelError("this installation carries no bundled model", "name one with --model or $SVLM_MODEL")
    if path.exists():
        raise ModelError(
            f"the model {name} is a file, not a folder", "give the folder that holds config.json"
        )
    require_hub_id(name)
    return _downloaded(name)


def _downloaded(name: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=[*HUB_FILES, BESIDE_ADAPTERS]))
    except HFValidationError as error:
        raise ModelError(f"{name} is neither a folder nor a Hugging Face id") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"the model {name} is not in the local Hugging Face cache and the hub cannot be reached",
            "check the network, or give a local folder",
        ) from error
    except HfHubHTTPError as error:
        raise ModelError(
            f"Hugging Face does not give the model {name}: {_reason(error)}",
            "check the id; log in for a gated one",
        ) from error


def _reason(error: Exception) -> str:
    """The first line of what a library says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _opened(kept: _CheckpointFiles, machine: _Machine, way: _RunOptions) -> tuple[Any, Any]:
    """The network, and how it feeds words where not plainly."""
    give_back()  # a vocabulary leaves twice behind what it takes
    lean = _lean(kept, machine, way)
    if lean is not None:
        return lean, None
    network = _network(kept, machine)
    return network, _made_ready(network, kept.name, way)


def _lean(kept: _CheckpointFiles, machine: _Machine, way: _RunOptions) -> LeanNetwork | None:
    """svlm's own network; None where what is asked for, or the checkpoint, is not of its plain kind."""
    is_plain = way.packed and not way.compiled and way.graphs in ("auto", "off") and kept.method is None
    sizes = lean_config(kept.config)
    if not is_plain or sizes is None or kept.adapter is not None or machine.device.type != "cpu":
        return None
    files = weight_files(kept.folder, kept.name, kept.config)
    return open_lean(files, kept.name, kept.folder, sizes, Format(machine.dtype, way.quantize))


def _network(kept: _CheckpointFiles, machine: _Machine) -> Any:
    """transformers' network on its device, an adapter merged into its weights."""
    from svlm_cli.model.checkpoint.network import open_network

    opened_as = machine.dtype if kept.adapter is None else torch.float32
    class_name = FAMILIES[kept.config["model_type"]].class_name
    network = open_network(kept.folder, kept.name, class_name, opened_as, machine.attention, kept.method)
    if kept.adapter is not None:
        network = merge_adapter(network, kept.adapter, kept.name, machine.dtype)
    return network.to(machine.device)


def _made_ready(network: Any, name: str, way: _RunOptions) -> Any:
    """Attention, layouts and formats of transformers' network for streaming; how it feeds words."""
    from svlm_cli.model.hooks.fixed_words import word_forward
    from svlm_cli.model.prepare import prepare, set_stream_attention

    set_stream_attention(network, way.attention)
    prepare(network, name, way.quantize, packed=way.packed and not way.compiled, traced=way.compiled)
    return word_forward(network, compiled=way.compiled, graphs=way.graphs)
