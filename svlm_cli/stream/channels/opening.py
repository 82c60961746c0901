"""What is told of a stream before its first step."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

import torch

from svlm_cli import __version__
from svlm_cli.arena.address import is_arena_address
from svlm_cli.media.source import Source, VideoInfo
from svlm_cli.model.kernels.native import kernels_in_words
from svlm_cli.model.linear import has_products
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.seal import pictures_trained_on
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.state import SavedState
from svlm_cli.types import StartEvent, WarningEvent

FOREIGN = (
    "the bundled model knows arena matches only: what it says of anything else means nothing; "
    "name a model with --model, e.g. mit-han-lab/StreamingVLM"
)


def resumed(
    resume: SavedState | None, start_seconds: float, settings: StreamSettings
) -> Generator[WarningEvent, None, None]:
    """What is to be said of a stream that goes on."""
    if resume is None:
        return
    if start_seconds > resume.told_seconds:
        gone = start_seconds - resume.told_seconds
        last = "the state was saved" if resume.told_seconds == resume.reached_seconds else "the last step"
        told = f"going on {gone:.0f} s after {last}; a live source has not waited"
        yield WarningEvent(told, start_seconds)
    if settings.duration is not None and settings.start + settings.duration <= start_seconds:
        told = f"nothing is left of --duration: the stream is at {start_seconds:g} s already"
        yield WarningEvent(told, start_seconds)


def is_foreign(model: VideoLanguageModel, source: Source) -> bool:
    """Whether the bundled model is shown something else than an arena match, as far as its address tells."""
    return model.is_bundled and not is_arena_address(source.name)


def foreign(
    model: VideoLanguageModel, source: Source, resume: SavedState | None, at_seconds: float
) -> Generator[WarningEvent, None, None]:
    """A warning, once for a stream and all that goes on from it: the model does not know what it is shown."""
    if resume is None and is_foreign(model, source):
        yield WarningEvent(FOREIGN, at_seconds)


def slow_format(
    model: VideoLanguageModel, resume: SavedState | None, at_seconds: float
) -> Generator[WarningEvent, None, None]:
    """A warning where a format that was chosen for its speed has none here."""
    traced = model.word_forward is not None and model.word_forward.compiled
    if resume is None and not has_products(model.quantize, traced=traced):
        why = (
            "in words and prefill under --compile"
            if traced
            else f"on this processor (kernels: {kernels_in_words()})"
        )
        yield WarningEvent(f"--quantize {model.quantize} saves memory and no time {why}", at_seconds)


def unlike_training(
    model: VideoLanguageModel, info: VideoInfo, settings: StreamSettings
) -> Generator[WarningEvent, None, None]:
    """A warning where the model was trained on pictures that were shown in another way than these."""
    for name in filter(None, (model.adapter, model.name)):
        trained = pictures_trained_on(Path(name))
        if trained not in (None, settings.pictures.value) and not info.appearance.is_plain:
            told = f"{name} was trained on pictures shown as {trained}: --pictures {trained} shows them so"
            yield WarningEvent(told, settings.start)
            return


def start_event(
    model: VideoLanguageModel, source: Source, settings: StreamSettings, start_seconds: float
) -> StartEvent:
    """What it begins with: every setting, and what is known of model and source."""
    chosen = asdict(settings)
    sampling = chosen.pop("sampling")
    return StartEvent(
        version=__version__,
        source=source.name,
        model=model.name,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        settings=chosen
        | sampling
        | {
            "attention": model.attention,
            "quantize": model.quantize,
            "kv_cache": str(model.kv_dtype).removeprefix("torch."),
            "kernels": kernels_in_words() if model.device.type == "cpu" else "of the device",
            "compiled": model.word_forward is not None and model.word_forward.compiled,
            "graphs": model.word_forward is not None and model.word_forward.graphs,
            "threads": torch.get_num_threads(),
            "adapter": model.adapter,
            "bundled": model.is_bundled,
            "foreign": is_foreign(model, source),
            **source.info.appearance.entries,
            "shown": ", ".join(source.info.appearance.changes),
            "width": source.info.width,
            "height": source.info.height,
            **({"suggested_questions": list(model.suggested_questions)} if model.suggested_questions else {}),
            "resumed_at": None if start_seconds == settings.start else start_seconds,
        },
        at_seconds=start_seconds,
    )
