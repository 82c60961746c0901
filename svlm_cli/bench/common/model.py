"""The model that is measured: how it is opened, and what a result must know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from svlm_cli.digest import digest
from svlm_cli.settings import PromptFormat, StreamSettings
from svlm_cli.stream.step.livecc import fitted, policy_in

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How to open a model; the arguments of ``load_model``."""

    name: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "auto"
    threads: int | None = 1
    adapter: str | None = None
    quantize: str = "none"
    kv_cache: str = "auto"

    def load(self) -> VideoLanguageModel:
        """Open it, without progress bars of its own.

        Raises:
            ModelError: see ``load_model``.
        """
        from transformers.utils import logging

        from svlm_cli.model.load import load_model

        logging.disable_progress_bar()
        return load_model(
            self.name,
            device=self.device,
            dtype=self.dtype,
            attention=self.attention,
            threads=self.threads,
            adapter=self.adapter,
            quantize=self.quantize,
            kv_cache=self.kv_cache,
        )


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a result must know of the model that gave it.

    Args:
        name: as the user gave it, with its adapter; ``bundled`` for the one that ships with svlm.
        fingerprint: the fingerprint of its weights and configuration.
        device: ``cpu`` or ``cuda``; a number behind it changes nothing.
        dtype: the number format of weights and cache; and those of linear layers and of the cache, where they
            are others.
        prompt_format: how its turns are written where nobody asks for another way.
    """

    name: str
    fingerprint: str
    device: str
    dtype: str
    prompt_format: PromptFormat = PromptFormat.SVLM

    def shown(self, settings: StreamSettings) -> StreamSettings:
        """Settings with the policy that its streams have."""
        return replace(settings, policy=policy_in(self.prompt_format, settings.policy))


def model_facts(model: VideoLanguageModel) -> ModelFacts:
    """Read them off a loaded model."""
    return ModelFacts(
        name=f"{model.name} with {model.adapter}" if model.adapter else model.name,
        fingerprint=_fingerprint(model),
        device=model.device.type,
        dtype=_formats(model),
        prompt_format=_format(model),
    )


def _formats(model: VideoLanguageModel) -> str:
    told = [str(model.dtype).removeprefix("torch.")]
    if model.quantize != "none":
        told.append(model.quantize)
    if model.kv_dtype is not model.dtype:
        told.append(f"{str(model.kv_dtype).removeprefix('torch.')} cache")
    return ", ".join(told)


def _fingerprint(model: VideoLanguageModel) -> str:
    """Of the model and of what its name decides: the prompt format that it is given by itself."""
    chosen = _format(model)
    known = model.fingerprint()
    return known if chosen is PromptFormat.SVLM else digest([known, chosen.value])


def _format(model: VideoLanguageModel) -> PromptFormat:
    return fitted(StreamSettings(), model).prompt_format
