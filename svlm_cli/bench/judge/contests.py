"""What is put before a judge: two texts on the same stretch, and how it is asked about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.documents import MalformedError, read_text
from svlm_cli.errors import SourceError, UsageError

MOST_REFERENCE_LETTERS = 8000
NOTHING_SAID = "(nothing was said)"
_PLACES = re.compile(r"\{(title|reference|a|b)\}")


@dataclass(frozen=True, slots=True)
class Contest:
    """Two texts about the same stretch of a video.

    Args:
        id: the id of the stretch.
        a, b: what the two said.
        reference: what a person said.
        title: the title of the video.
        video: draws of the interval take all stretches of a video together.
        labels: what tables are made by, e.g. ``{"sport": "soccer"}``.
    """

    id: str
    a: str
    b: str
    reference: str
    title: str
    video: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a judge is asked and how its reply is read.

    Args:
        name: as tables show it, with the wording.
        template: one user message, with ``{title}``, ``{reference}``, ``{a}``, ``{b}``.
        read: turns a reply, maybe empty, into ``first``, ``second``, ``tie``, or None where it cannot be
            read.
        request: further fields of the request.
        expected_tokens: how long a reply is expected to be, for the estimate; a model that thinks first needs
            more than it says.
    """

    name: str
    template: str
    read: Callable[[str], str | None]
    request: Mapping[str, Any]
    expected_tokens: int

    def messages(self, contest: Contest, order: str) -> list[dict[str, Any]]:
        """The question in one order: under ``ba`` the second text stands first."""
        first, second = (contest.a, contest.b) if order == "ab" else (contest.b, contest.a)
        words = {
            "title": contest.title,
            "reference": contest.reference[:MOST_REFERENCE_LETTERS],
            "a": first or NOTHING_SAID,
            "b": second or NOTHING_SAID,
        }
        return [
            {"role": "user", "content": _PLACES.sub(lambda found: words[found[1]], self.template)},
        ]


def load_template(path: Path) -> str:
    """A judge's prompt of the user's own: text with ``{reference}``, ``{a}``, ``{b}``, maybe ``{title}``.

    Raises:
        SourceError: it cannot be read.
        UsageError: it lacks a place.
    """
    try:
        text = read_text(path)
    except (OSError, MalformedError) as error:
        raise SourceError(f"cannot read {path}: {error}", "give a UTF-8 text file") from error
    missing = [f"{{{name}}}" for name in ("reference", "a", "b") if f"{{{name}}}" not in text]
    if missing:
        raise UsageError(f"{path} lacks {', '.join(missing)}", "these are where the texts go")
    return text
