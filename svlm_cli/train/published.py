"""Shapes of models without their weights: from their own config, or as their publishers state them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from svlm_cli.errors import ModelError
from svlm_cli.model.checkpoint.stored import MODELOPT_FILE, check_quantisation, check_stored, quantisation
from svlm_cli.model.family.table import FAMILIES
from svlm_cli.model.load import require_hub_id

_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "tokens_per_second": 2,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
_ROPE = {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]}
_QWEN2_5_VL_7B = {
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vocab_size": 152064,
    "rope_parameters": _ROPE,
}
_QWEN2_5_VL_3B = {
    "hidden_size": 2048,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "intermediate_size": 11008,
    "vocab_size": 151936,
    "rope_parameters": _ROPE,
}
# Hugging Face id: (text sizes, whether the head shares the embeddings); from each one's config.json there.
PUBLISHED = {
    "Qwen/Qwen2.5-VL-7B-Instruct": (_QWEN2_5_VL_7B, False),
    "mit-han-lab/StreamingVLM": (_QWEN2_5_VL_7B, False),
    "Qwen/Qwen2.5-VL-3B-Instruct": (_QWEN2_5_VL_3B, True),
}


def model_config(base: str) -> Any:
    """The config of a model, for published ones without asking the network.

    Args:
        base: Hugging Face id or folder.

    Raises:
        ModelError: it cannot be had, or is of a foreign architecture.
    """
    if base in PUBLISHED:
        text, tied = PUBLISHED[base]
        vision = {**_VISION, "out_hidden_size": text["hidden_size"]}
        return transformers.AutoConfig.for_model(
            "qwen2_5_vl", vision_config=vision, text_config=dict(text), tie_word_embeddings=tied
        )
    if not Path(base).is_dir():
        require_hub_id(base)
    try:
        config = transformers.AutoConfig.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"there is no model {base}, or its config.json cannot be read: {str(error).splitlines()[0]}",
            "give a folder or a Hugging Face id such as owner/name",
        ) from error
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"the model {base} is of type {config.model_type!r}", f"svlm trains {', '.join(sorted(FAMILIES))}"
        )
    if Path(base).is_dir():
        check_stored(Path(base), base, config.to_dict())
    else:
        check_quantisation(quantisation(config.to_dict(), _modelopt(base)), base)
    return config


def _modelopt(base: str) -> dict[str, Any] | None:
    """An empty dictionary where a model of the hub has ModelOpt's own file."""
    from transformers.utils import cached_file

    found = cached_file(
        base,
        MODELOPT_FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else {}
