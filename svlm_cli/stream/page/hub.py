"""Between one channel and its viewers: events and pictures out, at no cost to the stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from svlm_cli.errors import OutputError
from svlm_cli.media.address import public_name
from svlm_cli.stream.outputs.formats import event_to_json
from svlm_cli.stream.outputs.writers import Writers
from svlm_cli.stream.page.audience import Audience, Message
from svlm_cli.stream.page.figures import Figures
from svlm_cli.stream.page.pictures import PictureShelf
from svlm_cli.stream.questions import Questions
from svlm_cli.text import as_json
from svlm_cli.types import Clip, EndEvent, StartEvent, StreamEvent, WarningEvent, reached_by

KEPT_EVENTS = 900
WORDS_FILE, EVENTS_FILE, PLAYLIST_FILE = "words.vtt", "events.jsonl", "captions.m3u8"


class Hub:
    """Publishes one channel; made by ``Board.add``.

    The stream's threads only ever append to bounded queues.

    Args:
        name: the name of the channel; empty for a stream alone, whose events do not tell it.
        audience: who looks on.
        folder: the folder of the files that viewers may download; of this channel alone.
        private: files that warnings may name (outputs, the state): viewers see their base names.
        questions: where what is asked on the page goes.

    Attributes:
        figures: what is counted of it.
        pictures: the newest.
    """

    def __init__(
        self,
        name: str,
        audience: Audience,
        folder: Path,
        private: Iterable[Path] = (),
        questions: Questions | None = None,
    ) -> None:
        self.name = name
        self.questions = Questions() if questions is None else questions
        self.figures = Figures()
        self.pictures = PictureShelf()
        self.words_path, self.events_path = folder / WORDS_FILE, folder / EVENTS_FILE
        self.playlist_path = folder / PLAYLIST_FILE
        self._audience = audience
        written = (self.words_path, self.events_path, self.playlist_path)
        self._writers: Writers | None = Writers(written)
        self._start: Message | None = None
        self._kept: deque[Message] = deque(maxlen=KEPT_EVENTS)
        names = {str(path): path.name for path in (*private, *written)}
        self._hidden = dict(sorted(names.items(), key=lambda each: -len(each[0])))

    def publish(self, event: StreamEvent) -> list[WarningEvent]:
        """Send an event to all viewers; from the stream's thread, never waits.

        Where the source and the files of the stream lie, on this machine or with what keys, is not told.

        Returns:
            What goes wrong with the files for viewers, once.
        """
        event = self._fit(event)
        warnings = self._write(event)
        content = event_to_json(event)
        text = as_json({"channel": self.name, **content} if self.name else content)
        self.figures.add(event)
        keep = self._keep_start if isinstance(event, StartEvent) else self._kept.append
        self._audience.tell(self.name, text, keep, is_last=isinstance(event, EndEvent))
        return warnings

    def lack_source(self, reason: str, *, is_over: bool) -> None:
        """There is no source yet, or (``is_over``) none will come; ``reason`` is told to viewers."""
        self.figures.lacks_source, self.figures.has_ended = reason, is_over

    @property
    def has_ended(self) -> bool:
        """Whether its end is among what is kept."""
        return bool(self._kept) and self._kept[-1].is_last

    def kept(self, seen: int, most: int | None = None) -> list[Message]:
        """What a viewer has not seen yet, of what is kept; at most so many events, but for the start."""
        events = [message for message in self._kept if message.number > seen]
        if most is not None:
            events = events[max(0, len(events) - most) :]
        start = [message for message in (self._start,) if message is not None and message.number > seen]
        return [*start, *events]

    def _keep_start(self, message: Message) -> None:
        self._start = message

    def _fit(self, event: StreamEvent) -> StreamEvent:
        """The event as viewers may see it."""
        if isinstance(event, StartEvent):
            source = public_name(event.source)
            hidden = {event.source: source} | self._hidden
            # Longest first: a short name may be a part of a long one.
            self._hidden = dict(sorted(hidden.items(), key=lambda each: -len(each[0])))
            settings = dict(event.settings)
            if adapter := settings.get("adapter"):
                settings["adapter"] = _without_folder(str(adapter))
            model = _without_folder(event.model)
            return replace(event, source=source, model=model, settings=settings)
        if isinstance(event, WarningEvent):
            message = event.message
            for private, shown in self._hidden.items():
                message = message.replace(private, shown) if private else message
            return replace(event, message=message)
        return event

    def _write(self, event: StreamEvent) -> list[WarningEvent]:
        if self._writers is None:
            return []
        try:
            return self._writers.write(event)
        except OutputError as error:
            self._writers = None
            told = f"nothing can be downloaded from the page: {error.message}"
            return [WarningEvent(told, reached_by(event))]

    def watch(self, clip: Clip) -> None:
        """Keep a small picture of a clip, or its last frame while nobody looks on; in the reader's thread."""
        self.pictures.keep(clip, is_seen=len(self._audience) > 0)

    def close(self) -> None:
        """Close its files."""
        if self._writers is not None:
            self._writers.close()


def _without_folder(name: str) -> str:
    """The base name of what lies on this machine; a name on Hugging Face as it is."""
    return Path(name).name if Path(name).exists() else name
