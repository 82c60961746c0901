"""Draw the picture of README: the first minute of the match of the Quickstart, as a terminal shows it.

Run it again after the bundled model changes: ``python docs/draw_terminal.py``.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = "svlm stream 'arena:soccer?seed=7' --fps 8"
PICTURE = Path(__file__).parent / "images" / "stream.svg"
NUM_LINES = 20


def main() -> None:
    """Stream the first minute and write the picture."""
    shown = [
        sys.executable,
        "-m",
        "svlm_cli",
        "stream",
        "arena:soccer?seed=7",
        "--fps",
        "8",
        "--duration",
        "60",
    ]
    done = subprocess.run(shown, capture_output=True, text=True, check=True)
    console = Console(record=True, width=88, file=io.StringIO())
    console.print(Text(f"$ {COMMAND}", style="bold"))
    console.print(Text(done.stderr.splitlines()[0], style="dim"))
    for line in done.stdout.splitlines()[:NUM_LINES]:
        time, _, words = line.partition(" ")
        console.print(Text.assemble((time, "cyan"), " ", words))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(console.export_svg(title="svlm"), encoding="utf-8")


if __name__ == "__main__":
    main()
