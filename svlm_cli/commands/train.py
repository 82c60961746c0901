"""``svlm train``: run a recipe."""

from __future__ import annotations

import os
import sys
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
    nproc: Annotated[
        int,
        typer.Option(
            "--nproc", min=1, help="Processes on this machine, by torchrun; samples of a step are shared out."
        ),
    ] = 1,
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
    if nproc > 1 and not _is_started_by_torchrun():
        raise typer.Exit(_torchrun(nproc))
    from svlm_cli.train.trainer import train as run

    emit(str(run(loaded, out, resume=resume is Resume.AUTO)))


def _is_started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _torchrun(nproc: int) -> int:
    """This very command once more, as ``nproc`` processes; its exit code."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=nproc,
        run_id="svlm",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "svlm_cli", *sys.argv[1:])
    except ChildFailedError as error:
        return int(error.get_first_failure()[1].exitcode)
    return 0
