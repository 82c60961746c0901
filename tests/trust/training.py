"""The least training there is, run in forked processes that can be stopped at any moment."""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from svlm_cli.__main__ import main
from svlm_cli.recipe import dump_recipe
from svlm_cli.sections import Data, NewModel, Recipe, Stage
from svlm_cli.train.trainer import train
from tests.train.clips import losses

STEPS = 3
MODEL = NewModel(
    hidden=64, layers=1, heads=1, key_value_heads=1, mlp=32, vision_hidden=40, vision_layers=1, vision_mlp=32
)
_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def least_recipe(*names: str, **options: Any) -> Recipe:
    """Words alone, a third of a second for a stage's three steps; every step is kept."""
    told = {"steps": STEPS, "save_steps": 1, "micro_batch": 1, "learning_rate": 1e-3, "mix": {"counts": 1}}
    stages = tuple(Stage(name=name, **(told | options)) for name in names or ("s",))
    data = Data(windows=Path("w"), num_windows=4, num_plays=2)
    return Recipe(model=MODEL, bfloat16=False, report_to=(), log_steps=1, data=data, stages=stages)


def end_of(stage: Path) -> tuple[list[float], dict[str, bytes], float]:
    """What a stage came to: its curve, its weights to the bit, the loss of its result."""
    weights = {
        name: tensor.numpy().tobytes()
        for path in sorted((stage / "final").glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }
    return losses(stage), weights, json.loads((stage / "final" / "result.json").read_text())["loss"]


def run(recipe: Recipe, output: Path) -> list[str]:
    """Run it in this process; the lines it tells."""
    told: list[str] = []
    train(recipe, output, tell=told.append)
    return told


def in_a_child(work: Callable[[], object]) -> BaseProcess:
    """Start it in a forked process, silent, which ends with the command line's exit code."""

    def child() -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        work()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    return process


def command(recipe: Recipe, output: Path) -> Callable[[], None]:
    """``svlm train`` itself."""
    path = output.with_name(f"{output.name}.yaml")
    path.write_text(dump_recipe(recipe))

    def work() -> None:
        sys.argv = ["svlm", "train", str(path), "--out", str(output)]
        main()

    return work


def at_event(number: int, folder: Path, act: Callable[[], object]) -> None:
    """Have something done at the ``number``-th change below a folder, in this process from now on."""
    seen = 0
    place = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in _EVENTS and str(arguments[0]).startswith(place):
            seen += 1
            if seen == number:
                act()

    sys.addaudithook(hook)


def as_two_processes(work: Callable[[], object]) -> list[int | None]:
    """Run it as the two processes of one run, as torchrun would; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def process(rank: int) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1"})
        work()

    started = [in_a_child(functools.partial(process, rank)) for rank in range(2)]
    for child in started:
        child.join()
    return [child.exitcode for child in started]
