"""``svlm bench report``: runs of several folders side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands.bench.drawn import show_found
from svlm_cli.commands.groups import grouped
from svlm_cli.commands.options import OUTPUT_PANEL, Talk, option
from svlm_cli.commands.output import emit

OUT = Path("bench-report")

EXAMPLES = """
svlm bench report bench-arena bench-8fps
svlm bench report ours-ovo theirs-ovo --json --out compared"""

Folders = Annotated[
    list[Path], typer.Argument(metavar="DIR...", help="Folders that hold the summary.json of any benchmark.")
]
Out = Annotated[
    Path, option(OUTPUT_PANEL, "--out -o DIR", "Folder for report.md, summary.json and a plot per benchmark.")
]


@grouped
def report(
    folders: Folders,
    *,
    out: Out = OUT,
    talk: Talk,
) -> None:
    """Compare the runs of several folders: a table and a plot for every benchmark."""
    from svlm_cli.bench.common.compare import compare, document, tables, write
    from svlm_cli.errors import UsageError

    if any(folder.resolve() == out.resolve() for folder in folders):
        raise UsageError(f"--out {out} is one of the folders to compare", "choose another --out")
    found = compare(folders)
    write(found, out)
    if talk.json:
        emit(document(found))
    else:
        show_found(tables(found))
