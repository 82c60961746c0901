"""The commands that pages, recipes and help show, found in their text: blocks of code, comments of recipes.

What a command needs and a test has not stands behind it, or for all that follows in its block on a line of
its own: ``# needs: a GPU, the hub``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTHING_ELSE = "nothing else"  # ends what was needed so far in a block
_MARK = re.compile(r"\s*[#(]+[^#]*\bneeds: (?P<what>[^()#]+)\)?\s*$")
_FENCED = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)(?:    .*\n?)+")
_PROGRAM = re.compile(
    r"(?:[A-Z_]+=(?:\$\([^)]*\)|\S)+ )*(?:svlm|python3?|pip|bash|curl|docker|systemctl|ray|ffmpeg|git|srun|"
    r"kill|ruff|apt|sudo|pre-commit|torchrun|tensorboard|accelerate|journalctl|lmms-eval) "
)
_IN_COMMENT = re.compile(r"(?:^|: )(?P<text>(?:svlm|python|bash) .*)$")


@dataclass(frozen=True, slots=True)
class Documented:
    """A command as it stands somewhere.

    Args:
        place: file, from the root, and line.
        text: on one line, without its comment.
        needs: what its mark says, empty for none.
    """

    place: str
    text: str
    needs: str = ""


Block = tuple[Documented, ...]


def pages() -> list[Path]:
    """Every page that shows commands."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [*documents, *sorted((ROOT / "recipes").iterdir())]


def blocks_of(page: Path) -> list[Block]:
    """The commands of a page, those of one block of code together."""
    text = page.read_text(encoding="utf-8")
    place = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    if page.suffix != ".md":
        return [found for found in [tuple(_of_lines(place, 1, _comments(text)))] if found]
    fences = list(_FENCED.finditer(text))
    rest = _FENCED.sub(lambda found: re.sub(r".", "", found.group(0)), text)
    pieces = [
        (text[: each.start()].count("\n") + 2, each.group("text"))
        for each in fences
        if each.group("kind") in ("", "sh", "bash", "console")
    ]
    pieces += [(rest[: each.start()].count("\n") + 1, each.group(0)) for each in _INDENTED.finditer(rest)]
    return [found for line, piece in sorted(pieces) if (found := tuple(_of_lines(place, line, piece)))]


def _comments(text: str) -> str:
    """A recipe's comments that hold a command, every other line empty."""
    lines, goes_on = [], False
    for line in text.splitlines():
        comment = line.removeprefix("#").strip() if line.startswith("#") else ""
        found = _IN_COMMENT.search(comment)
        lines.append(comment if goes_on else found.group("text") if found else "")
        goes_on = lines[-1].endswith("\\")
    return "\n".join(lines)


def _of_lines(place: str, first: int, text: str) -> Iterator[Documented]:
    needs = ""
    joined, start = "", first
    for number, line in enumerate(text.splitlines(), first):
        start = start if joined else number
        joined += line.strip().removesuffix("\\").strip() + " "
        if line.rstrip().endswith("\\"):
            continue
        whole, joined = joined.strip(), ""
        mark = _MARK.search(whole)
        if whole.startswith("#"):
            needs = mark.group("what").strip() if mark else needs
            needs = "" if needs == NOTHING_ELSE else needs
        elif _PROGRAM.match(whole) or "&& svlm " in whole:
            command = re.sub(r"\s+#\s.*$", "", whole[: mark.start()] if mark else whole).strip()
            yield Documented(f"{place}:{start}", command, mark.group("what").strip() if mark else needs)


def inline(page: Path) -> list[Documented]:
    """What a page says of commands in its sentences: ``svlm stream --ask``, parts of commands too."""
    text = _FENCED.sub(lambda found: re.sub(r".", "", found.group(0)), page.read_text(encoding="utf-8"))
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        codes = re.findall(r"`((?:svlm|python|bash) [^`]+)`", line)
        found += [Documented(f"{page.relative_to(ROOT)}:{number}", code) for code in codes]
    return found
