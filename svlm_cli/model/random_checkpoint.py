"""Build a small random checkpoint of a family with the real Qwen vocabulary.

    python -m svlm_cli.model.random_checkpoint FOLDER [--size tiny|100m|180m] [--family qwen2_5_vl|...]

Its words are noise, its architecture and its ids are real: for tests, benchmarks and dry runs
where no weights can be had. The vocabulary comes from ``--vocabulary``: a Hugging Face id or folder
with Qwen's tokenizer, or a ``.tiktoken`` file; by default the one the ``dashscope`` package carries.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from svlm_cli.errors import ModelError, UsageError, boundary
from svlm_cli.model.checkpoint.folder import new_model_folder
from svlm_cli.model.family.dialect import TURN_END
from svlm_cli.model.family.markup import END_OF_TEXT, MARKUP_TOKENS
from svlm_cli.model.family.random_config import SIZES, family_tokenizer, random_config
from svlm_cli.model.family.table import (
    FAMILIES,
    family_of,
    markup_of,
    patch_settings,
    tokens_per_second,
)
from svlm_cli.model.hooks.fixed_words import word_forward
from svlm_cli.model.library import silent_library
from svlm_cli.model.prepare import set_stream_attention
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.modules import ModuleParser, run_module

# Pre-tokenisation and special tokens as Qwen2.5-VL's tokenizer.json states them.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_OF_PLACES = tuple(f"<|{name}_{end}|>" for name in ("object_ref", "box", "quad") for end in ("start", "end"))
SEEDS = 2**63
SPECIAL_TOKENS = (*MARKUP_TOKENS[:3], *_OF_PLACES, *MARKUP_TOKENS[3:])


def build_random_checkpoint(
    folder: Path,
    *,
    size: str = "tiny",
    family: str = "qwen2_5_vl",
    vocabulary: str | None = None,
    seed: int = 0,
    spread: float = 1.0,
) -> Path:
    """Write a random checkpoint.

    Args:
        folder: made where it does not exist.
        size: a key of ``SIZES``; parameters besides the vocabulary.
        family: a key of ``table.FAMILIES``.
        vocabulary: Hugging Face id or folder, or a ``.tiktoken`` file; None for ``dashscope``'s.
        seed: the seed of the weights.
        spread: scale of the weights against transformers' own initialisation: larger ones give
            sharper attention, so that a wrong key shows in the logits.

    Returns:
        ``folder``.

    Raises:
        ModelError: the vocabulary cannot be had.
    """
    tokenizer = family_tokenizer(open_vocabulary(vocabulary), family)
    torch.manual_seed(seed)
    network = getattr(transformers, FAMILIES[family].class_name)(random_config(size, family, tokenizer))
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.mul_(spread)
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_model(
    config: Any, tokenizer: Any, *, name: str, device: str, dtype: torch.dtype, graphs: str = "auto"
) -> VideoLanguageModel:
    """A model with random weights, made where it computes: nothing is written or copied from the host.

    Args:
        config: the configuration of one of the families, e.g. from ``random_config``.
        tokenizer: a tokenizer with Qwen's vocabulary.
        name: what reports call it.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: the number format of weights and cache.
        graphs: as in ``load_model``.
    """
    make = getattr(transformers, family_of(config).class_name)._from_config
    with torch.device(device), silent_library():
        network = make(config, dtype=dtype, attn_implementation="sdpa").eval()
    set_stream_attention(network, "auto")
    return VideoLanguageModel(
        name=name,
        is_bundled=False,
        network=network,
        tokenizer=tokenizer,
        markup=markup_of(tokenizer, config),
        patches=patch_settings(config),
        tokens_per_second=tokens_per_second(config),
        word_forward=word_forward(network, compiled=False, graphs=graphs),
    )


def open_vocabulary(vocabulary: str | None) -> Any:
    """Qwen's tokenizer, as ``build_random_checkpoint`` is told where it is.

    Raises:
        ModelError: it cannot be had.
    """
    if vocabulary is not None and not vocabulary.endswith(".tiktoken"):
        try:
            return transformers.AutoTokenizer.from_pretrained(vocabulary, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"no tokenizer can be had from {vocabulary}") from error
    path = Path(vocabulary) if vocabulary is not None else _dashscope_vocabulary()
    if not path.is_file():
        raise ModelError(f"there is no vocabulary file {path}")
    if not path.stat().st_size:
        raise ModelError(f"the vocabulary {path} is empty")
    with boundary(f"{path} is no vocabulary in tiktoken's form", ModelError):
        return _from_tiktoken(path)


def _dashscope_vocabulary() -> Path:
    package = importlib.util.find_spec("dashscope")
    if package is None or package.origin is None:
        raise ModelError(
            "no vocabulary to build with", "pip install dashscope (it carries Qwen's), or give --vocabulary"
        )
    return Path(package.origin).parent / "resources" / "qwen.tiktoken"


def _from_tiktoken(path: Path) -> Any:
    from tokenizers import normalizers
    from transformers.convert_slow_tokenizer import TikTokenConverter

    converter = TikTokenConverter(str(path), pattern=PATTERN, extra_special_tokens=list(SPECIAL_TOKENS))
    backend = converter.converted()
    backend.normalizer = normalizers.NFC()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=TURN_END, pad_token=END_OF_TEXT
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = ModuleParser(prog="python -m svlm_cli.model.random_checkpoint", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to write; it must not exist")
    parser.add_argument(
        "--size", choices=sorted(SIZES), default="tiny", help="parameters besides the vocabulary"
    )
    parser.add_argument("--family", choices=sorted(FAMILIES), default="qwen2_5_vl")
    parser.add_argument("--vocabulary", help="Hugging Face id or folder, or a .tiktoken file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights")
    chosen = parser.parse_args(arguments)

    def work() -> str:
        if not 0 <= chosen.seed < SEEDS:
            raise UsageError("--seed must be at least 0 and below 2^63")
        with (
            new_model_folder(chosen.folder) as unfinished,
            silent_library(),
            boundary(f"a checkpoint cannot be made in {chosen.folder}", ModelError),
        ):
            build_random_checkpoint(
                unfinished,
                size=chosen.size,
                family=chosen.family,
                vocabulary=chosen.vocabulary,
                seed=chosen.seed,
            )
        return json.dumps({"model": str(chosen.folder), "size": chosen.size, "family": chosen.family})

    return run_module(work)


if __name__ == "__main__":
    sys.exit(main())
