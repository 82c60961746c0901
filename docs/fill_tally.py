"""Puts the table that ``python -m pytest tests/trust --whole --tally FILE`` has written into reliability.md.

python docs/fill_tally.py FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).with_name("reliability.md")
BEGIN, END = "<!-- tally -->\n", "<!-- /tally -->"


def filled(page: str, table: str) -> str:
    """The page with another table between its markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, rest = page.split(BEGIN)
    _, behind = rest.split(END)
    return f"{before}{BEGIN}{table.strip()}\n{END}{behind}"


if __name__ == "__main__":
    (source,) = sys.argv[1:]
    table = Path(source).read_text(encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
