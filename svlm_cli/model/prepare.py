"""A loaded network made ready to stream on its device: attention, number formats, layouts of weights."""

from __future__ import annotations

import functools
from typing import Any

from svlm_cli.model.attention import keep_flash_first
from svlm_cli.model.family.parts import language_part
from svlm_cli.model.finite import check_finite_weights
from svlm_cli.model.hooks.attention import register_grouped, register_windows
from svlm_cli.model.kernels.fourbit import Int4Linear
from svlm_cli.model.kernels.last_row import keep_last_row
from svlm_cli.model.kernels.native import native
from svlm_cli.model.linear import Int8Linear, laid_out, replace_linears


def prepare(network: Any, name: str, quantize: str, *, packed: bool, traced: bool = False) -> None:
    """Check a network on its device and change its linear layers, in place; then it cannot be trained.

    Args:
        network: Hugging Face model.
        name: the name of the model, as the user gave it.
        quantize: ``none``, ``int8`` or ``int4``.
        packed: lay weights out for the kernels of this CPU, where it has some.
        traced: words go through ``torch.compile``, which cannot look into kernels of ours.

    Raises:
        ModelError: some weights are not finite.
    """
    check_finite_weights(network, name)
    weight = network.lm_head.weight
    if quantize != "none":
        small = functools.partial(Int4Linear if quantize == "int4" else Int8Linear, traced=traced)
        replace_linears(language_part(network), small)
        network.lm_head = small(network.lm_head.weight.detach(), None)
        replace_linears(network, Int8Linear)  # the tower
    elif packed and weight.device.type == "cpu":
        replace_linears(network, laid_out)


def set_stream_attention(network: Any, attention: str) -> None:
    """Choose svlm's own attention functions where they fit.

    Args:
        network: Hugging Face model on its device, opened with SDPA or flash-attention 2.
        attention: what the user asked for; ``flash_attention_2`` is left alone.
    """
    if network.device.type == "cuda":
        keep_flash_first()
    if attention == "flash_attention_2":
        return
    network.set_attn_implementation({"text_config": register_grouped()})
    keep_last_row(language_part(network).layers[-1])
    vision = network.config.vision_config
    has_kernels = network.device.type == "cuda" or native() is not None
    has_windows = not hasattr(vision, "image_size")  # sequences laid end to end, not pictures of one size
    if has_windows and has_kernels and vision._attn_implementation == "sdpa":
        network.set_attn_implementation({"vision_config": register_windows()})
