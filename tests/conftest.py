"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

pytest_plugins = ["tests.warm"]
NUM_PIECES = 16_000
MOST_PROCESSES = 4
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many ``-n auto`` stands for: none beside this process for less than a folder's default tests."""
    chosen, default = config.option, config.getini("addopts")
    is_part = bool(chosen.keyword) or chosen.markexpr not in default or chosen.tally is not None
    named = [Path(argument.partition("::")[0]) for argument in config.args]
    if is_part or not all(path.is_dir() for path in named):
        return 0
    return min(MOST_PROCESSES, len(os.sched_getaffinity(0)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="try every case of tests/trust, not a share")
    parser.addoption("--tally", metavar="FILE", help="write what tests/trust has tried, as a table")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Children inherit an ignored Ctrl-C from a run in the background; tests that send one need it heard."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def ordinary() -> Iterator[None]:
    """No test may leave a thread that is preferred to all others: the browsers it starts are so too."""
    policy = getattr(os, "sched_getscheduler", lambda _: None)  # not on macOS
    before = policy(0)
    yield
    if policy(0) != before:
        os.sched_setscheduler(0, before, os.sched_param(0))
        pytest.fail("the test's thread has become a real-time one")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For sums that are the same to the bit (they are rounded by how threads share them), and no waste."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files and folders as they are forced to the disk."""
    found: list[Path] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and golden files; tests that need them skip where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared test data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """Writes a small H.264 file whose pictures change."""

    def make(path: Path, seconds: float = 3.0, fps: int = 8, size: tuple[int, int] = (128, 96)) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            for index in range(round(seconds * fps)):
                picture = np.full((size[1], size[0], 3), (index * 7) % 256, dtype=np.uint8)
                picture[:, : (index * 5) % size[0]] //= 2
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def part_of_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first pieces of the real vocabulary: what opens a tokenizer costs a tenth."""
    dashscope = pytest.importorskip(
        "dashscope", reason="the real Qwen vocabulary is in the dashscope package"
    )
    pieces = Path(dashscope.__file__).parent / "resources" / "qwen.tiktoken"
    part = tmp_path_factory.mktemp("vocabulary") / "part.tiktoken"
    part.write_bytes(b"".join(pieces.read_bytes().splitlines(keepends=True)[:NUM_PIECES]))
    return part


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, part_of_vocabulary: Path) -> Path:
    """A tiny random Qwen2.5-VL folder with the first pieces of the real vocabulary and sharp attention."""
    from svlm_cli.model.random_checkpoint import build_random_checkpoint

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    return build_random_checkpoint(folder, vocabulary=str(part_of_vocabulary), spread=3.0)


@pytest.fixture(scope="session")
def model(checkpoint: Path):
    from svlm_cli import load_model

    return load_model(str(checkpoint), device="cpu")


@pytest.fixture(scope="session")
def qwen2_vl_model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory):
    from svlm_cli import load_model
    from svlm_cli.model.random_checkpoint import build_random_checkpoint

    folder = tmp_path_factory.mktemp("checkpoint") / "qwen2_vl"
    build_random_checkpoint(folder, family="qwen2_vl", vocabulary=str(checkpoint), spread=3.0)
    return load_model(str(folder), device="cpu")
