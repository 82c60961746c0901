"""A plan of a training for people: figures where there is something to take them from, and "not known"."""

from __future__ import annotations

from collections.abc import Iterator

from svlm_cli.train.plan import GIB, StagePlan, TrainingPlan

UNKNOWN = "not known"


def plan_lines(found: TrainingPlan) -> Iterator[str]:
    """A plan, a line each."""
    processes = f"{found.num_processes} process{'es' if found.num_processes > 1 else ''}"
    if found.num_weights is None or found.num_trained is None:
        yield f"model: {UNKNOWN}, {processes}"
    else:
        trained = f"{found.num_trained / 1e6:.2f} M of them trained"
        yield f"model: {found.num_weights / 1e6:.2f} M weights, {trained}, {processes}"
    yield from (_stage_line(stage) for stage in found.stages)
    if any(stage.seconds for stage in found.stages):
        open_ones = [stage.name for stage in found.stages if stage.seconds is None]
        told = _time(sum(stage.seconds or 0.0 for stage in found.stages))
        yield f"time: {told}" + (f" without {', '.join(open_ones)}" if open_ones else "")
    yield from (f"warning: {warning}" for warning in found.warnings)
    parts = ", ".join(f"{name} {_gib(size)}" for name, size in found.memory_bytes.items())
    known = [size for size in found.memory_bytes.values() if size is not None]
    if not known:
        yield f"memory of a process: {UNKNOWN}"
    else:
        about = "about" if len(known) == len(found.memory_bytes) else "at least"
        yield f"memory of a process, {about} {sum(known) / GIB:.2f} GiB: {parts}"
    sizes = [_gib(size, " GiB") for size in (found.checkpoint_bytes, found.disk_bytes, found.free_bytes)]
    yield f"disk: {sizes[0]} a checkpoint, {sizes[1]} at most; {sizes[2]} free"


def _stage_line(stage: StagePlan) -> str:
    if stage.mean:
        return f"stage {stage.name}: the mean of {', '.join(stage.mean)}"
    steps = f"steps {UNKNOWN}," if stage.steps is None else f"{stage.steps} steps of"
    line = f"stage {stage.name}: {steps} {stage.samples_per_step} samples" + (
        " a step" if stage.steps is None else ""
    )
    if stage.tokens_per_sample is not None:
        line += (
            f", about {stage.tokens_per_step} tokens each ({stage.tokens_per_sample} a sample, "
            f"{stage.max_tokens_per_sample} at most)"
        )
    if stage.num_chunks is None:
        line += f"; chunks {UNKNOWN}"
    elif stage.num_chunks:
        line += f"; {stage.num_chunks} chunks"
    return f"{line}; time {_time(stage.seconds)}"


def _time(seconds: float | None) -> str:
    """Whole minutes; windows that are drawn once and other work of the machine come on top."""
    if seconds is None:
        return UNKNOWN
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"about {hours} h {minutes:02d} min" if hours else f"about {minutes} min"


def _gib(size: int | None, unit: str = "") -> str:
    return UNKNOWN if size is None else f"{size / GIB:.2f}{unit}"
