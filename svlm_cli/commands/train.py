"""``svlm train``: run a recipe."""

from __future__ import annotations

import json as json_module
import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.claims import claim
from svlm_cli.commands.groups import grouped
from svlm_cli.commands.options import Talk
from svlm_cli.commands.output import emit
from svlm_cli.errors import SourceError, SvlmError, UsageError

if TYPE_CHECKING:
    from svlm_cli.train.plan import TrainingPlan

OUT = Path("runs")

EXAMPLES = """
# needs: the data set, GPUs
svlm train recipes/stage1.yaml --dry-run --nproc 8
svlm train recipes/stage1.yaml --out runs/stage1 --nproc 8
svlm train recipes/lora_one_gpu.yaml --out runs/lora --set model.lora.rank=16 --set stages.0.epochs=2
svlm train recipes/arena.yaml --out runs/arena --nproc 2   # needs: nearly four hours"""


@dataclass(frozen=True, slots=True)
class TrainRun:
    """How a recipe is run."""

    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of the recipe; repeat the option for several.",
            show_default="none",
        ),
    ] = None
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for checkpoints, one for each stage.")
    ] = OUT
    resume: Annotated[
        str,
        typer.Option(
            "--resume",
            metavar="auto|DIR|never",
            help="auto: continue from the newest whole checkpoint in --out; DIR: from this checkpoint; "
            "never: start afresh.",
        ),
    ] = "auto"
    nproc: Annotated[
        int,
        typer.Option(
            "--nproc",
            min=1,
            help="Processes on this machine, started by torchrun; each trains on samples of its own.",
        ),
    ] = 1
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check recipe and data; print steps, tokens, memory and disk; start nothing."
        ),
    ] = False


@grouped
def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE.yaml", help="YAML file that says what to train, on which data and for how long."
        ),
    ],
    *,
    run: TrainRun,
    talk: Talk,
) -> None:
    """Train a model as a recipe says; ``svlm stream --model`` opens the result."""
    from svlm_cli.recipe import load_recipe

    loaded = load_recipe(recipe, run.settings or ())
    start, resume = _checkpoint(run.resume), run.resume != "never"
    if run.dry_run:
        from svlm_cli.train.number_format import begun_in
        from svlm_cli.train.plan import plan

        begun = begun_in(loaded, run.out, start) if resume else None
        _print_plan(plan(loaded, run.out, run.nproc, begun), as_json=talk.json)
        return
    from svlm_cli.commands.output import TalkConsole, leaving_at_once
    from svlm_cli.train.plan import check
    from svlm_cli.train.trainer import train as run_stages

    if not _is_started_by_torchrun():
        if run.out.is_dir():
            claim(run.out, f"the output folder {run.out}", inside=True).release()
        check(loaded, run.out)
        if run.nproc > 1:
            raise typer.Exit(_torchrun(run.nproc))
    is_first = os.environ.get("RANK", "0") == "0"
    console = TalkConsole()
    console.quiet = not is_first
    tell = _silence if talk.quiet else console.tell
    try:
        with leaving_at_once(console):
            results = run_stages(loaded, run.out, resume=resume, start=start, tell=tell)
    except SvlmError as error:
        if is_first:
            raise
        raise typer.Exit(1) from error  # the first process says what is wrong
    if not is_first:
        return
    if talk.json:
        emit(json_module.dumps({"stages": [asdict(result) for result in results]}))
    else:
        emit(results[-1].model)


def _silence(_line: str) -> None:
    """Say nothing."""


def _checkpoint(resume: str) -> Path | None:
    if resume in ("auto", "never"):
        return None
    if not Path(resume).is_dir():
        raise UsageError(
            f"--resume {resume}: there is no such folder", "use auto, never, or a checkpoint's folder"
        )
    return Path(resume)


def _print_plan(found: TrainingPlan, *, as_json: bool) -> None:
    from svlm_cli.train.plan_text import plan_lines

    if as_json:
        emit(json_module.dumps(asdict(found)))
    else:
        for line in plan_lines(found):
            emit(line)
    if found.problems:
        raise SourceError(f"the recipe cannot run: {'; '.join(found.problems)}")


def _is_started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _torchrun(nproc: int) -> int:
    """This very command once more, as ``nproc`` processes; its exit code."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // nproc)))
    logging.disable(logging.CRITICAL)  # torch's launcher says what the processes have said themselves
    from torch.distributed.elastic.multiprocessing.api import SignalException
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
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0
