"""The whole network as the engine sees it, read from a checkpoint's files layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from svlm_cli.model.lean.config import LeanConfig, VisionConfig
from svlm_cli.model.lean.deep_tower import DeepTower
from svlm_cli.model.lean.layers import Format, Linear
from svlm_cli.model.lean.shapes import HEAD, TABLE, shapes_of
from svlm_cli.model.lean.text import TextModel
from svlm_cli.model.lean.tower import Tower
from svlm_cli.model.lean.weights import mapped_weights

_STORED = {"visual.": "model.visual.", "text.": "model.language_model."}  # as transformers names them


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """Both networks, by transformers' names."""

    language_model: TextModel
    visual: Tower | DeepTower


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

        config = transformers.AutoConfig.from_pretrained(self.folder, local_files_only=True)
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
    if weights is None or weights.shapes != shapes_of(config):
        return None
    with torch.no_grad():
        # The head first: nothing takes more beside what it is made of.
        head = form.read(weights, [TABLE if config.is_tied else HEAD])
        text = TextModel(weights, config.text_config, form)
        vision = config.vision_config
        tower = (
            Tower(weights, vision, form.of_tower)
            if isinstance(vision, VisionConfig)
            else DeepTower(weights, vision, form.of_tower)
        )
    return LeanNetwork(Inner(text, tower), head, config, form, folder)
