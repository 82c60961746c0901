"""What is shown and kept: the settings that benchmarks vary, for keys of results and for cells of tables."""

from __future__ import annotations

from dataclasses import asdict

from svlm_cli.settings import PromptFormat, Sampling, StreamSettings


def memory_identity(settings: StreamSettings) -> dict[str, object]:
    """What is shown and kept, as plain values: the settings that every benchmark of streams varies."""
    return {
        "fps": settings.fps,
        "policy": settings.policy.value,
        "positions": settings.positions.value,
        "restart_seconds": settings.restart_seconds,
        "sink": settings.sink,
        "text_window": settings.text_window,
        "vision_window": settings.vision_window,
        "rounds": settings.rounds,
        **changes(settings),
    }


def changes(settings: StreamSettings) -> dict[str, str]:
    """What of the settings is not as it was before it could be chosen: for keys of stored results."""
    told = dict(settings.viewing.changes)
    if settings.prompt_format is PromptFormat.LIVECC:
        told["prompt_format"] = settings.prompt_format.value
    if settings.sampling.silence_threshold is not None:
        told["silence_threshold"] = f"{settings.sampling.silence_threshold}"
    return told


def sampling_identity(sampling: Sampling) -> dict[str, object]:
    """How words are drawn, as plain values; ``changes`` has what came later."""
    return {name: value for name, value in asdict(sampling).items() if name != "silence_threshold"}


def pixels_text(settings: StreamSettings) -> str:
    """Limits of a frame's pixels, and how pictures are shown where that is not as usual."""
    return ", ".join([_limits_text(settings), *settings.viewing.changes.values()])


def _limits_text(settings: StreamSettings) -> str:
    if settings.min_pixels is None and settings.max_pixels is None:
        return "as trained"
    least = "as trained" if settings.min_pixels is None else f"{settings.min_pixels}"
    most = "as trained" if settings.max_pixels is None else f"{settings.max_pixels}"
    return f"{least} to {most} pixels"


def windows_text(settings: StreamSettings, sink: str = "") -> str:
    """What the cache keeps, in one cell; of the policies that use none of it, what they do use.

    Args:
        sink: what stands in place of the sink's tokens.
    """
    if not settings.policy.keeping.is_bounded:
        return "everything"
    if settings.policy.keeping.restarts:
        return f"restart every {settings.restart_seconds:g} s"
    grows = ", growing positions" if settings.positions == "growing" else ""
    text = f"S {sink or settings.sink} / T {settings.text_window}"
    return f"{text}, V {settings.vision_window:g} s, R {settings.rounds}{grows}"


def memory_text(settings: StreamSettings) -> str:
    """Policy and windows in one cell."""
    return f"{settings.policy.value}: {windows_text(settings)}"


def decoding_text(settings: StreamSettings) -> str:
    """How words are drawn, in one cell."""
    own = settings.sampling
    penalty = f", penalty {own.repetition_penalty:g}" if own.repetition_penalty != 1 else ""
    if own.greedy:
        return f"greedy{penalty}"
    return (
        f"temperature {own.temperature:g}, top-k {own.top_k}, top-p {own.top_p:g}{penalty}, seed {own.seed}"
    )
