"""What the turn of a clip adds to the layout, the opening included where the context is empty."""

from __future__ import annotations

from svlm_cli.model.prompt import Part, PromptWriter
from svlm_cli.model.window import WindowLimits, middle_cut
from svlm_cli.settings import PromptFormat, StreamSettings
from svlm_cli.stream.context import Context
from svlm_cli.stream.sight import SeenClip


class TurnWriter:
    """Writes the turns of one stream.

    Args:
        settings: for the opening text and the query.
        writer: the model's writer of prompts.
        limits: what of the opening text is kept.
    """

    def __init__(self, settings: StreamSettings, writer: PromptWriter, limits: WindowLimits) -> None:
        self._settings = settings
        self._writer = writer
        self._limits = limits

    def parts(self, turn: int, clip: SeenClip, context: Context, question: str = "") -> list[Part]:
        """The parts of a turn up to where the answer begins.

        Args:
            turn: its number, from 0.
            clip: what is shown in it.
            context: the layout they are to be appended to.
            question: asked in this turn, empty for none.
        """
        opens = not context.spans
        is_ours = self._settings.prompt_format is not PromptFormat.LIVECC
        query = self._settings.query if is_ours else self._whole_query(turn)
        user = self._writer.turn(
            turn,
            clip.start_seconds,
            clip.end_seconds,
            clip.video.grid,
            query=query if opens else "",
            question=question,
            places=clip.video.places,
        )
        if opens:
            return [*(self._opening(turn) if is_ours else self._writer.opening("")[:1]), *user]
        if self._writer.ends_in_break(context.ids[-4:].tolist()):
            return user
        return [self._writer.turn_break(turn - 1), *user]

    def _whole_query(self, turn: int) -> str:
        """What LiveCC is told and asked at once."""
        told = self._settings.opening_text if turn == 0 else ""
        return "\n".join(filter(None, (told, self._settings.query)))

    def _opening(self, turn: int) -> list[Part]:
        text = self._settings.opening_text if turn == 0 else ""
        if not self._settings.policy.keeping.evicts:
            return self._writer.opening(text)
        num_tokens = len(self._writer.encode_plain(text))
        return self._writer.opening(text, middle_cut(num_tokens, self._limits))
