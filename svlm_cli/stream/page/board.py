"""All channels that a page shows, by name."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from svlm_cli.stream.page.audience import Audience, Viewer
from svlm_cli.stream.page.figures import Figures
from svlm_cli.stream.page.hub import Hub
from svlm_cli.stream.questions import Questions

if TYPE_CHECKING:
    from svlm_cli.stream.page.audience import Message


class Board:
    """The channels of a page: one, or several that come and go.

    Args:
        folder: the folder of the files that viewers may download.
        is_several: whether channels have names, which stand in their events.

    Attributes:
        lacks: why there can be no channel yet; empty once there can.
    """

    def __init__(self, folder: Path, *, is_several: bool = False) -> None:
        self.is_several = is_several
        self.lacks = ""
        self.audience = Audience(ends=not is_several)
        self._folder = folder
        self._hubs: dict[str, Hub] = {}
        self._num_made = 0

    @property
    def hubs(self) -> dict[str, Hub]:
        """The channels there are, by name."""
        return dict(self._hubs)

    def add(self, name: str = "", private: Iterable[Path] = (), questions: Questions | None = None) -> Hub:
        """Begin to show a channel, in place of one of that name.

        Args:
            name: empty for the only one there is.
            private, questions: as ``Hub`` has them.
        """
        self.remove(name)
        folder = self._folder
        if name:
            self._num_made += 1
            folder = folder / str(self._num_made)
            folder.mkdir()
        hub = Hub(name, self.audience, folder, private, questions)
        with self.audience.lock:
            self._hubs[name] = hub
        return hub

    def remove(self, name: str) -> None:
        """Show a channel no more, if there is one: its viewers see its end, its files go."""
        with self.audience.lock:
            hub = self._hubs.pop(name, None)
        if hub is not None:
            self.audience.close(name)
            hub.close()
            if name:
                shutil.rmtree(hub.words_path.parent, ignore_errors=True)

    def find(self, name: str | None) -> Hub | None:
        """The channel of a name; where none is named, the only one there is."""
        hubs = self.hubs
        if name is None:
            return next(iter(hubs.values())) if len(hubs) == 1 else None
        return hubs.get(name)

    def figures(self) -> Mapping[str, Figures]:
        """What is counted, by channel."""
        return {name: hub.figures for name, hub in self.hubs.items()}

    def join(self, channel: str | None = None, after: str = "", most: int | None = None) -> Viewer:
        """Let a viewer in, to be served in the running loop; ``audience.leave`` lets it go.

        Args:
            channel: the one it wants to see, None for all.
            after: the last message it has seen, as ``Audience.seen`` reads it.
            most: events of each channel to begin with, but for its start; None for all that are kept.

        Raises:
            TooManyViewers: there is no room.
        """
        seen = self.audience.seen(after)

        def wanted() -> list[Hub]:
            return [hub for name, hub in self._hubs.items() if channel in (None, name)]

        def kept() -> list[Message]:
            return [message for hub in wanted() for message in hub.kept(seen, most)]

        def has_ended() -> bool:
            is_one = not self.is_several or channel is not None
            return is_one and all(hub.has_ended for hub in wanted()) and bool(wanted())

        return self.audience.join(channel, kept, has_ended)

    def close(self) -> None:
        """Let all viewers go and close the files."""
        self.audience.close()
        for hub in self.hubs.values():
            hub.close()
