"""``benchmarks/gpu.sh`` rehearsed on the CPU; a part can fail, hang or die and takes no other with it."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from benchmarks.gpu_parts import same, trainings
from benchmarks.gpu_parts.kernels import costliest, covered
from benchmarks.gpu_parts.record import Record, Skipped
from benchmarks.gpu_parts.scale import Noise
from benchmarks.gpu_parts.streams import _course
from benchmarks.gpu_parts.watchdog import Guarded
from svlm_cli.bench.speed.measure import SpeedRun

ROOT = Path(__file__).resolve().parents[2]
GPU = ROOT / "benchmarks" / "gpu.py"


def printed(results: Path) -> str:
    command = [sys.executable, str(GPU), "--markdown", str(results)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_document_says_that_nothing_is_measured_yet(tmp_path: Path) -> None:
    section = printed(tmp_path / "absent.json")
    document = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    title = section.splitlines()[0]
    start = document.index(title)
    end = document.index("\n## ", start)
    assert document[start:end].strip() == section.strip()


def test_every_part_runs_without_a_gpu(tmp_path: Path, part_of_vocabulary: Path) -> None:
    """The whole command; its files, its table, and its section beside the prediction."""
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--device", "cpu", "--size", "tiny"]
    command += ["--seconds", "3", "--patience", "20", "--out", str(tmp_path / "out")]
    command += ["--vocabulary", str(part_of_vocabulary)]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    parts = results["parts"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert {letter: part["status"] for letter, part in parts.items()} == dict.fromkeys("abcdef", "done")
    held = [check for part in parts.values() for check in part["checks"]]
    assert len(held) >= 15
    assert all(check["holds"] for check in held)
    assert {f"{fps} FPS" for fps in (2, 8, 24, 60)} <= parts["b"]["values"].keys()
    assert [*parts["c"]["values"]] == ["full", "window", "recompute"]
    assert 0 <= parts["d"]["values"]["profile, graphs"]["idle_share"] < 1
    together = [value for value in parts["f"]["values"].values() if isinstance(value, dict)]
    assert {each["channels"] for each in together} >= {1, 4}
    assert all(each["round_p50_seconds"] <= each["round_p95_seconds"] for each in together)
    table = done.stdout.strip().splitlines()
    assert table[-1].startswith("| f |")
    section = printed(tmp_path / "out" / "results.json")
    assert section.strip().endswith("\n".join(table[-5:]))
    assert "| 8 | – /" in section
    parts["b"]["values"]["24 FPS"]["is_window_full"] = False
    (tmp_path / "real.json").write_text(json.dumps(results | {"size": "real"}))
    section = printed(tmp_path / "real.json")
    measured = 1e3 * parts["b"]["values"]["8 FPS"]["p50_step_seconds"]
    assert f"| {measured:.0f} / 200 |" in section
    assert "\n| 24 \\* | " in section
    assert "the paper's figure 7: 0.25 to 0.41 s/token" in section


def hangs(record: Record) -> None:
    record.note("before", 1)
    child = os.fork()
    if not child:
        os.setsid()
        time.sleep(600)
    record.note("child", child)
    time.sleep(600)


def dies(record: Record) -> None:
    record.check("it", True, "lived")
    os._exit(9)


def fails(_record: Record) -> None:
    raise RuntimeError("out of memory\nand more")


def lies(record: Record) -> None:
    record.check("two is three", False, "2")


def leaves(_record: Record) -> None:
    raise Skipped("nothing here")


def is_running(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_what_becomes_of_a_part_is_told(tmp_path: Path) -> None:
    pieces = {
        work.__name__: Guarded(work, tmp_path / f"{work.__name__}.json", 2.0 if work is hangs else 60.0)
        for work in (hangs, dies, fails, lies, leaves)
    }
    found = {name: piece.wait() for name, piece in pieces.items()}
    assert {name: (outcome.status, outcome.reason) for name, outcome in found.items()} == {
        "hangs": ("too late", "ended after 2 s"),
        "dies": ("failed", "the process died (exit code 9)"),
        "fails": ("failed", "RuntimeError: out of memory"),
        "lies": ("failed", "does not hold: two is three"),
        "leaves": ("skipped", "nothing here"),
    }
    assert found["hangs"].values["before"] == 1
    assert found["dies"].checks == [{"name": "it", "holds": True, "found": "lived"}]
    until = time.monotonic() + 60
    while is_running(found["hangs"].values["child"]) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(found["hangs"].values["child"])


def test_a_device_that_computes_something_else_is_found_out(model, tmp_path: Path) -> None:
    """A weight turned by a thousandth is in the logits and in the keys."""
    expected = same.tell(model)
    with torch.no_grad():
        weight = model.network.model.language_model.layers[0].self_attn.k_proj.weight
        kept = weight.clone()
        try:
            weight.mul_(1.002)
            found = same.tell(model)
        finally:
            weight.copy_(kept)
    record = Record(tmp_path / "a.json", time.monotonic() + 60)
    same._compare(record, expected, found)
    same._compare(record, expected, replace(expected))
    holds = [(check.name, check.holds) for check in record.checks]
    assert ("keys after evictions", False) in holds[:5]
    assert all(held for _, held in holds[5:])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_run_ends_its_part(tmp_path: Path, ending: signal.Signals) -> None:
    """A part that went on would have the GPU to itself, and spoil the next run."""
    left = tmp_path / "part.json"
    code = f"""
import os, time
from pathlib import Path
from benchmarks.gpu_parts.watchdog import Guarded
def sleeps(record):
    record.note("process", os.getpid())
    time.sleep(600)
Guarded(sleeps, Path({str(left)!r}), 600.0).wait()
"""
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not left.is_file() and time.monotonic() < until:
        time.sleep(0.02)
    part = json.loads(left.read_text())["values"]["process"]
    assert is_running(part)
    run.send_signal(ending)
    run.wait(60)
    while is_running(part) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_running(part)


def test_a_part_waits_goes_on_and_is_ended(tmp_path: Path) -> None:
    def counts(record: Record) -> None:
        for number in range(100_000):
            record.note("number", number)
            time.sleep(0.001)

    path = tmp_path / "counts.json"
    piece = Guarded(counts, path, 600.0)
    until = time.monotonic() + 60

    def number() -> int:
        return json.loads(path.read_text())["values"]["number"] if path.is_file() else 0

    while number() < 5 and time.monotonic() < until:
        time.sleep(0.01)
    piece.send(signal.SIGSTOP)
    time.sleep(0.1)
    stood = number()
    time.sleep(0.2)
    assert number() == stood >= 5
    piece.send(signal.SIGCONT)
    while number() == stood and time.monotonic() < until:
        time.sleep(0.01)
    assert number() > stood
    piece.send(signal.SIGSTOP)
    piece.end()
    assert not piece._process.is_alive()
    piece.end()


def test_a_kernel_is_counted_once() -> None:
    """As torch's profiler tells of a GPU: the operator on the host has the time of the kernel it launched."""
    on_host, on_device = DeviceType.CPU, DeviceType.CUDA
    averages = [
        SimpleNamespace(key=key, device_type=where, is_user_annotation=is_note, self_device_time_total=time)
        for key, where, is_note, time in [
            ("aten::mm", on_host, False, 70.0),
            ("softmax", on_device, False, 30.0),
            ("gemm", on_device, False, 70.0),
            ("a step", on_device, True, 100.0),
            ("cudaLaunchKernel", on_host, False, 0.0),
        ]
    ]
    found = costliest(averages, on_device, "self_device_time_total")
    assert [each.key for each in found] == ["gemm", "softmax"]


def test_results_are_kept_beside_newer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(GPU.parent)
    gpu = importlib.import_module("gpu")
    gpu.write(tmp_path, {"parts": 1})
    gpu.begin(tmp_path)
    gpu.write(tmp_path, {"parts": 2})
    assert json.loads((tmp_path / "results.json.1").read_text()) == {"parts": 1}
    assert json.loads((tmp_path / "results.json").read_text()) == {"parts": 2}


@pytest.mark.parametrize(
    "losses", [[3.0, 2.0, float("nan")], [3.0, float("nan"), 1.0], [3.0, 2.0, 1.02], [3.0, 2.0], []]
)
def test_losses_of_a_device_that_differ_are_found_out(losses: list[float], tmp_path: Path) -> None:
    """A reference that came not as far is compared as far as it came; where that is too little it is said."""
    record = Record(tmp_path / "e.json", time.monotonic() + 60)
    trainings._compare(record, "it", {"losses": losses, "steps": 3}, [3.0, 2.0, 1.0])
    trainings._compare(record, "the same", {"losses": [3.0, 2.0, 1.001], "steps": 3}, [3.0, 2.0, 1.0])
    far = {"losses": [3.0 / k for k in range(1, 201)], "steps": 200}
    for reached in (trainings.LEAST_STEPS, trainings.LEAST_STEPS - 1):
        trainings._compare(record, f"far, {reached}", far, far["losses"][:reached])
    found = {check.name.removeprefix("losses, "): check for check in record.checks}
    assert len(losses) == 2 or not found.pop("it").holds
    assert [*found] == ["the same", f"far, {trainings.LEAST_STEPS}"]
    assert all(check.holds for check in found.values())
    assert f"{trainings.LEAST_STEPS} of 200 steps" in record.checks[-1].found
    assert "the CPU came no further" in record.checks[-1].found
    assert "not compared" in record.values[f"losses, far, {trainings.LEAST_STEPS - 1}"]


def test_what_is_covered_is_counted_once() -> None:
    assert covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.7)]) == 4.0


def test_the_cost_of_a_token_passes_for_good() -> None:
    run = SpeedRun("full", "full", 8.0, 1.0, 2)
    costs = [0.05] * 10 + [0.3] + [0.05] * 5 + [0.11] * 8
    for cost in costs:
        run.num_words.append(10)
        for stage, share in (
            ("vision", 0.2),
            ("prefill", 0.5),
            ("decode", 0.3),
            ("read", 9.0),
            ("cache", 9.0),
        ):
            run.seconds[stage].append(10 * cost * share)
    course = _course(run)
    assert course["passes_0.1_s_per_token_at"] == 16
    assert course["seconds_per_token_every_20_s"] == [0.05, 0.11]


def test_the_pictures_move() -> None:
    first, second = (clip.frames for clip, _ in zip(Noise(64, 40).clips(8.0, 1.0), range(2), strict=False))
    assert first.shape == second.shape == (8, 40, 64, 3)
    assert (first[0] != first[1]).any()
    assert (first[-1] != second[0]).any()
