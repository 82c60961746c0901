"""svlm: real-time video understanding on streams that never end.

Everything public is found here, imported on first use so that ``import svlm_cli`` stays light::

    from svlm_cli import StreamSettings, load_model, open_source, stream_video
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svlm_cli.errors import (
        ModelError,
        OutputError,
        SourceError,
        SourceLostError,
        StateError,
        SvlmError,
        UsageError,
    )
    from svlm_cli.media.address import LiveOptions
    from svlm_cli.model.load import load_model
    from svlm_cli.settings import OnLag, Pace, Policy, Positions, Sampling, StreamSettings
    from svlm_cli.stream.controls import Controls
    from svlm_cli.stream.loop import stream_video
    from svlm_cli.stream.questions import Questions
    from svlm_cli.stream.session import StreamSession
    from svlm_cli.stream.sources import open_source
    from svlm_cli.stream.state import StateKeeper, load_state
    from svlm_cli.stream.trace import TraceRecord
    from svlm_cli.types import (
        AnswerEvent,
        Clip,
        EndEvent,
        StartEvent,
        StepEvent,
        StepTimings,
        StreamEvent,
        WarningEvent,
    )

__version__ = "0.1.0"

_HOMES = {
    "svlm_cli.errors": (
        "ModelError",
        "OutputError",
        "SourceError",
        "SourceLostError",
        "StateError",
        "SvlmError",
        "UsageError",
    ),
    "svlm_cli.media.address": ("LiveOptions",),
    "svlm_cli.model.load": ("load_model",),
    "svlm_cli.settings": ("OnLag", "Pace", "Policy", "Positions", "Sampling", "StreamSettings"),
    "svlm_cli.stream.controls": ("Controls",),
    "svlm_cli.stream.loop": ("stream_video",),
    "svlm_cli.stream.questions": ("Questions",),
    "svlm_cli.stream.session": ("StreamSession",),
    "svlm_cli.stream.trace": ("TraceRecord",),
    "svlm_cli.stream.state": ("StateKeeper", "load_state"),
    "svlm_cli.stream.sources": ("open_source",),
    "svlm_cli.types": (
        "AnswerEvent",
        "Clip",
        "EndEvent",
        "StartEvent",
        "StepEvent",
        "StepTimings",
        "StreamEvent",
        "WarningEvent",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AnswerEvent",
    "Clip",
    "Controls",
    "EndEvent",
    "LiveOptions",
    "ModelError",
    "OnLag",
    "OutputError",
    "Pace",
    "Policy",
    "Positions",
    "Questions",
    "Sampling",
    "SourceError",
    "SourceLostError",
    "StartEvent",
    "StateError",
    "StateKeeper",
    "StepEvent",
    "StepTimings",
    "StreamEvent",
    "StreamSession",
    "StreamSettings",
    "SvlmError",
    "TraceRecord",
    "UsageError",
    "WarningEvent",
    "load_model",
    "load_state",
    "open_source",
    "stream_video",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
