"""What ``svlm stream`` opens and runs, and who called it: how another engine takes the place of svlm's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from svlm_cli.media.address import LiveOptions
    from svlm_cli.media.source import Source
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.settings import StreamSettings, Viewing
    from svlm_cli.stream.controls import Controls
    from svlm_cli.stream.trace import TraceRecord
    from svlm_cli.types import StreamEvent


class Engine:
    """svlm's own; what it stands on is imported when it is called."""

    def load_model(self, name: str | None, **how: Any) -> VideoLanguageModel:
        """As ``svlm_cli.load_model``."""
        from svlm_cli.model.load import load_model

        return load_model(name, **how)

    def open_source(self, source: str, live: LiveOptions, viewing: Viewing) -> Source:
        """As ``svlm_cli.open_source``."""
        from svlm_cli.stream.sources import open_source

        return open_source(source, live, viewing)

    def stream_video(
        self,
        model: VideoLanguageModel,
        source: Source,
        settings: StreamSettings,
        trace: Callable[[TraceRecord], None] | None,
        controls: Controls,
    ) -> Generator[StreamEvent, None, None]:
        """As ``svlm_cli.stream_video``."""
        from svlm_cli.stream.loop import stream_video

        return stream_video(model, source, settings, trace, controls)


@dataclass(slots=True)
class Invocation:
    """One call of ``svlm``: the object of the parser's context.

    Args:
        engine: what runs streams.
        verbose: whether a failure shows its traceback; set while options are read.
    """

    engine: Engine = field(default_factory=Engine)
    verbose: bool = False


def engine_of(context: typer.Context) -> Engine:
    """What a command is to run; svlm's own where the parser was not called by ``cli.run``."""
    return context.obj.engine if isinstance(context.obj, Invocation) else Engine()
