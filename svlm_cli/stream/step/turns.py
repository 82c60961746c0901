"""What the turn of a clip adds to the layout, the opening included where the context is empty."""

from __future__ import annotations

from typing import Protocol

from svlm_cli.model.family.livecc import opened
from svlm_cli.model.prompt import Part, PromptWriter
from svlm_cli.model.window import WindowLimits, middle_cut
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.context import Context


class ShownVideo(Protocol):
    """What a prompt must know of a clip's frames."""

    @property
    def grid(self) -> tuple[int, int, int]:
        """Merged grid (time, height, width)."""

    @property
    def places(self) -> tuple[int, ...] | None:
        """Tokens of the grid that are shown, None for all."""


class ShownClip(Protocol):
    """What a prompt must know of a clip: ``SeenClip``."""

    @property
    def start_seconds(self) -> float:
        """Of the step."""

    @property
    def end_seconds(self) -> float:
        """Of the step."""

    @property
    def video(self) -> ShownVideo:
        """Its frames."""


class TurnWriter:
    """Writes the turns of one stream.

    Args:
        settings: the settings, which have the opening text and the query.
        writer: the model's writer of prompts.
        limits: what of the opening text is kept.
    """

    def __init__(self, settings: StreamSettings, writer: PromptWriter, limits: WindowLimits) -> None:
        self._settings = settings
        self._writer = writer
        self._limits = limits

    def parts(self, turn: int, clip: ShownClip, context: Context, question: str = "") -> list[Part]:
        """The parts of a turn up to where the answer begins.

        Args:
            turn: its number, from 0.
            clip: what is shown in it.
            context: the layout they are to be appended to.
            question: what is asked in this turn, empty for nothing.
        """
        opening, query = ([], "") if context.spans else self._opening(turn)
        user = self._writer.turn(
            turn,
            clip.start_seconds,
            clip.end_seconds,
            clip.video.grid,
            query=query,
            question=question,
            places=clip.video.places,
        )
        if opening:
            return [*opening, *user]
        if self._writer.ends_in_break(context.ids[-4:].tolist()):
            return user
        return [self._writer.turn_break(turn - 1), *user]

    def _opening(self, turn: int) -> tuple[list[Part], str]:
        settings = self._settings
        told = settings.opening_text if turn == 0 else ""
        kept = None
        if settings.policy.keeping.evicts:
            kept = middle_cut(len(self._writer.encode_plain(told)), self._limits)
        return opened(self._writer, told, settings.query, settings.prompt_format, kept)
