"""The whole network as the engine sees it, read from a checkpoint's files layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from svlm_cli.model.lean.config import LeanConfig, TextConfig, VisionConfig
from svlm_cli.model.lean.layers import Format, Linear
from svlm_cli.model.lean.text import TextModel
from svlm_cli.model.lean.tower import Tower
from svlm_cli.model.lean.weights import mapped_weights

_STORED = {"visual.": "model.visual.", "text.": "model.language_model."}  # as transformers names them
_HEAD, _TABLE = "lm_head.weight", "text.embed_tokens.weight"


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """Both networks, by transformers' names."""

    language_model: TextModel
    visual: Tower


@dataclass(frozen=True, slots=True, eq=False)
class LeanNetwork:
    """A checkpoint's network on the CPU, to stream with.

    Args:
        model: language model and tower.
        lm_head: the head, from normed rows (m, d) to logits (m, v).
        config: sizes.
        form: the number format of the weights.
        folder: where the checkpoint lies.
    """

    model: Inner
    lm_head: Linear
    config: LeanConfig
    form: Format
    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Of what is not quantised, and of the cache."""
        return self.form.dtype

    def eval(self) -> LeanNetwork:
        """Itself: it knows no other mode."""
        return self

    def config_text(self) -> str:
        """The configuration as transformers' network writes it: fingerprints hold it."""
        import transformers

        config = transformers.Qwen2_5_VLConfig.from_pretrained(self.folder, local_files_only=True)
        config.tie_word_embeddings = self.config.is_tied
        for section in (config, config.text_config, config.vision_config):
            section.dtype = self.dtype
        return str(config.to_json_string())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Tensors under the names, and in the formats, that transformers' network has them in."""
        found = {}
        for name, tensor in self._state():
            stem = next((stem for stem in _STORED if name.startswith(stem)), None)
            found[name if stem is None else _STORED[stem] + name.removeprefix(stem)] = tensor
        return found

    def _state(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self.model.language_model.state()
        yield from self.model.visual.state()
        for name, tensor in self.lm_head.state_dict().items():
            yield f"lm_head.{name}", tensor


def open_lean(
    files: list[Path], name: str, folder: Path, config: LeanConfig, form: Format
) -> LeanNetwork | None:
    """The network of a checkpoint; None where its tensors are not exactly those of its sizes.

    Args:
        files: the files that hold its weights, headers checked.
        name: the name of the model, as the user gave it.
        folder: its folder.
        config: what ``lean_config`` read.
        form: the number format of the weights.

    Raises:
        ModelError: some weights are not finite.
    """
    weights = mapped_weights(files, name)
    if weights is None or weights.shapes != _shapes(config):
        return None
    with torch.no_grad():
        # The head first: nothing takes more beside what it is made of.
        head = form.read(weights, [_TABLE if config.is_tied else _HEAD])
        text = TextModel(weights, config.text_config, form)
        tower = Tower(weights, config.vision_config, form)
    return LeanNetwork(Inner(text, tower), head, config, form, folder)


def _shapes(config: LeanConfig) -> dict[str, tuple[int, ...]]:
    text, vision = config.text_config, config.vision_config
    table = (text.vocab_size, text.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {_TABLE: table, "text.norm.weight": (text.hidden_size,)}
    if not config.is_tied:
        shapes[_HEAD] = table
    for number in range(text.num_hidden_layers):
        shapes |= {f"text.layers.{number}.{name}": shape for name, shape in _text_layer(text).items()}
    for number in range(vision.depth):
        shapes |= {f"visual.blocks.{number}.{name}": shape for name, shape in _vision_block(vision).items()}
    wide = vision.hidden_size * vision.spatial_merge_size**2
    patch = (vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    return shapes | {
        "visual.patch_embed.proj.weight": (vision.hidden_size, *patch),
        "visual.merger.ln_q.weight": (vision.hidden_size,),
        **_linear("visual.merger.mlp.0", wide, wide),
        **_linear("visual.merger.mlp.2", vision.out_hidden_size, wide),
    }


def _text_layer(text: TextConfig) -> dict[str, tuple[int, ...]]:
    size, inner = text.hidden_size, text.intermediate_size
    states = text.num_key_value_heads * text.head_dim
    return {
        "input_layernorm.weight": (size,),
        "post_attention_layernorm.weight": (size,),
        **_linear("self_attn.q_proj", size, size),
        **_linear("self_attn.k_proj", states, size),
        **_linear("self_attn.v_proj", states, size),
        "self_attn.o_proj.weight": (size, size),
        "mlp.gate_proj.weight": (inner, size),
        "mlp.up_proj.weight": (inner, size),
        "mlp.down_proj.weight": (size, inner),
    }


def _vision_block(vision: VisionConfig) -> dict[str, tuple[int, ...]]:
    size, inner = vision.hidden_size, vision.intermediate_size
    return {
        "norm1.weight": (size,),
        "norm2.weight": (size,),
        **_linear("attn.qkv", 3 * size, size),
        **_linear("attn.proj", size, size),
        **_linear("mlp.gate_proj", inner, size),
        **_linear("mlp.up_proj", inner, size),
        **_linear("mlp.down_proj", size, inner),
    }


def _linear(name: str, num_outputs: int, num_inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (num_outputs, num_inputs), f"{name}.bias": (num_outputs,)}
