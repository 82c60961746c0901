"""``svlm train``: run a recipe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from svlm_cli.commands import options
from svlm_cli.commands.output import emit

OUT = Path("runs")

EXAMPLES = """Examples:

svlm train recipes/arena_smoke.yaml --out runs/smoke

svlm train recipes/arena_tiny.yaml --dry-run

svlm train recipes/arena_tiny.yaml --out runs/arena --set stages.2.steps=2000"""


class Resume(StrEnum):
    """Whether an interrupted run goes on."""

    AUTO = "auto"
    NEVER = "never"


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="What to train, on what, how long.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of the recipe; may be repeated.",
            show_default="none",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for checkpoints, one folder for each stage.")
    ] = OUT,
    resume: Annotated[
        Resume,
        typer.Option("--resume", help="auto: go on from the last checkpoint in --out; never: start afresh."),
    ] = Resume.AUTO,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe, print sizes, start nothing.")
    ] = False,
    _verbose: options.Verbose = False,
) -> None:
    """Train a model by a recipe; ``svlm stream --model`` opens what it writes."""
    from svlm_cli.recipe import load_recipe

    loaded = load_recipe(recipe, settings or ())
    if dry_run:
        from svlm_cli.train.report import outline

        emit(outline(loaded))
        return
    from svlm_cli.train.trainer import train as run

    emit(str(run(loaded, out, resume=resume is Resume.AUTO)))
