"""svlm beside OpenVINO and llama.cpp: the same weights, shapes and formats, in turns, in CPU milliseconds.

    python -m venv peers-env && peers-env/bin/pip install -r benchmarks/peer_parts/requirements.txt
    python benchmarks/peers.py [--formats float32 ...] [--stages word-5700 ...] [--rounds 3]

The first line installs the others in an environment of their own (llama.cpp is compiled there, which takes
some ten minutes). The second takes some eleven minutes on a quiet core of Zen 4, a third of it a format: a
random checkpoint of 180 M parameters, one thread, every engine in a process of its own on one and the same
core, one at work at a time. A round measures each stage once in every engine, in turned order; the long
prefill in every third round, the tower on four pairs in every other. Ratios are medians over the rounds, of
svlm to the fastest of the others.

Before it is timed every engine's logits and features are compared with svlm's in float32, and in the timed
runs they are checked to be finite. What is compared, and what is not: docs/performance.md.
Linux; peers.json has everything that was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peer_parts.report import OWN, difference, table  # noqa: E402
from benchmarks.peer_parts.shapes import FORMATS, STAGES  # noqa: E402

MODULES = {OWN: "torch", "openvino": "openvino", "llama": "llama_cpp"}
TRUTH = "truth.npz"
REQUIREMENTS = "benchmarks/peer_parts/requirements.txt"
FURTHEST = {"float32": 0.02, "bfloat16": 0.1, "int8": 0.3}  # standard deviations from svlm's float32


class Contestant:
    """An engine in a process of its own, on one core.

    Args:
        engine, number_format, checkpoint, cache: what is measured, as ``serve`` takes it.
        python: the interpreter that has it.
        folder: for its files and what its libraries print.
    """

    def __init__(
        self, engine: str, number_format: str, checkpoint: Path, python: Path, folder: Path, cache: str
    ) -> None:
        self.engine = engine
        self._log = folder / f"{engine}-{number_format}.log"
        command = [str(python), "-m", "benchmarks.peer_parts.serve", engine, number_format]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(checkpoint), str(folder), cache],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        os.sched_setaffinity(self._process.pid, {min(os.sched_getaffinity(0))})  # before it starts a thread

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, do: str, **more: object) -> Any:
        """Its answer; SystemExit where it has none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            lines = self._log.read_text(errors="replace").splitlines()
            raise SystemExit("\n".join([*lines[-20:], f"{self.engine} has ended while asked to {do}"]))
        return json.loads(answer)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    others = [name for name in MODULES if name != OWN]
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--engines", nargs="*", choices=others, default=others, help="beside svlm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--openvino-cache",
        choices=("default", "same"),
        default="default",
        help="keys and values in its own default, or in the format that it computes in",
    )
    parser.add_argument("--peers", type=Path, default=Path("peers-env"), help="the others' environment")
    parser.add_argument("--model", type=Path, help="a float32 checkpoint of Qwen2.5-VL in one file")
    parser.add_argument("--out", type=Path, default=Path("peers.json"))
    chosen = parser.parse_args(given)
    if chosen.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if not chosen.out.absolute().parent.is_dir():
        parser.error(f"there is no folder for --out {chosen.out}")
    if chosen.model and not (chosen.model / "model.safetensors").is_file():
        parser.error(f"--model {chosen.model} is no folder with a model.safetensors")
    return chosen


def interpreter(peers: Path, engines: list[str]) -> Path:
    """The interpreter of the others' environment; SystemExit, with what to type, where it is not whole."""
    python = peers / "bin" / "python"
    install = f"python -m venv {peers} && {peers}/bin/pip install -r {REQUIREMENTS}"
    if engines and not python.is_file():
        raise SystemExit(f"there is no environment of the other engines in {peers}: {install}")
    for engine in engines:
        found = subprocess.run([python, "-c", f"import {MODULES[engine]}"], capture_output=True, check=False)
        if found.returncode:
            raise SystemExit(f"{peers} has no {MODULES[engine]}: {install}")
    return python.absolute()


def apart(engine: Contestant, number_format: str, folder: Path) -> dict[str, float]:
    """How far its logits and features are from svlm's in float32; SystemExit where too far."""
    out = folder / f"{engine.engine}-{number_format}.npz"
    engine.ask("check", out=str(out))
    with np.load(folder / TRUTH) as true, np.load(out) as own:
        found = {name: difference(true[name].ravel().tolist(), own[name].ravel().tolist()) for name in true}
    if not max(found.values()) <= FURTHEST[number_format]:
        raise SystemExit(f"{engine.engine} computes something else: {found}")
    return found


def compared(
    chosen: argparse.Namespace, number_format: str, checkpoint: Path, folder: Path
) -> dict[str, Any]:
    """One format: what the engines say of themselves, how they differ, floors, and all times by stage."""
    pythons = {OWN: Path(sys.executable), **dict.fromkeys(chosen.engines, chosen.python)}
    with ExitStack() as open_ones:
        contestants = [
            open_ones.enter_context(
                Contestant(name, number_format, checkpoint, python, folder, chosen.openvino_cache)
            )
            for name, python in pythons.items()
        ]
        told = {each.engine: each.ask("tell") for each in contestants}
        differences = {each.engine: apart(each, number_format, folder) for each in contestants}
        times: dict[str, dict[str, list[float]]] = {
            each.engine: {stage: [] for stage in chosen.stages} for each in contestants
        }
        for each in contestants:
            each.ask("warm", stages=chosen.stages)
        for number in range(chosen.rounds):
            turned = contestants if number % 2 else contestants[::-1]
            for stage in chosen.stages:
                if number % STAGES[stage].every == 0:
                    for each in turned:
                        times[each.engine][stage].append(each.ask("measure", stage=stage))
        floors = {stage: 1e3 * contestants[0].ask("floor", stage=stage) for stage in chosen.stages}
    return {"told": told, "apart": differences, "times": times, "floors": floors}


def random_checkpoint(folder: Path) -> Path:
    command = [sys.executable, "-m", "svlm_cli.model.random_checkpoint", str(folder), "--size", "180m"]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit("no checkpoint can be made; --model names one")
    return folder


def main() -> None:
    chosen = arguments()
    chosen.python = interpreter(chosen.peers, chosen.engines)
    began, found = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = chosen.model.absolute() if chosen.model else random_checkpoint(folder / "180m")
        with Contestant(OWN, "float32", checkpoint, Path(sys.executable), folder, "default") as own:
            own.ask("check", out=str(folder / TRUTH))
        for number_format in sorted(chosen.formats, key=FORMATS.index):
            found[number_format] = compared(chosen, number_format, checkpoint, folder)
            chosen.out.write_text(json.dumps(found, indent=1) + "\n")
            minutes = (time.monotonic() - began) / 60
            print(f"{number_format} done after {minutes:.1f} minutes", file=sys.stderr)
    times = {name: each["times"] for name, each in found.items()}
    print(table(times, {name: each["floors"] for name, each in found.items()}, [OWN, *chosen.engines]))
    for number_format, each in found.items():
        for engine, facts in each["told"].items():
            apart = ", ".join(f"{what} {value:.1e}" for what, value in each["apart"][engine].items())
            facts = ", ".join(f"{what} {value}" for what, value in facts.items())
            print(f"{number_format}, {engine}: {facts}; from svlm in float32: {apart}", file=sys.stderr)


if __name__ == "__main__":
    main()
