"""``benchmarks/peers.py``: what it takes, what it says without the others, its inputs and its sums."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peer_parts import serve
from benchmarks.peer_parts.by_svlm import Engine
from benchmarks.peer_parts.report import difference, medians, ratios, table
from benchmarks.peer_parts.shapes import FORMATS, GRID, STAGES, patches, pictures
from benchmarks.peers import Contestant, arguments, interpreter
from svlm_cli.model.patches import PatchSettings, clip_to_patches


def taken(**stages: list[float]) -> dict[str, list[float]]:
    return {name.replace("_", "-"): times for name, times in stages.items()}


def test_everything_is_compared_unless_chosen() -> None:
    chosen = arguments([])
    assert (chosen.formats, chosen.stages, chosen.engines) == (
        list(FORMATS),
        list(STAGES),
        ["openvino", "llama"],
    )
    assert arguments(["--stages", "tower-1", "--engines"]).engines == []


@pytest.mark.parametrize(
    "wrong", [["--rounds", "0"], ["--formats", "int3"], ["--stages", "word"], ["--out", "no/such/x.json"]]
)
def test_what_is_unknown_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        arguments(wrong)


def test_without_their_environment_it_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"peers: python -m venv .*peers && .* -r benchmarks/peer_parts/req"):
        interpreter(tmp_path / "peers", ["openvino"])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with pytest.raises(SystemExit, match="has no openvino: python -m venv"):
        interpreter(tmp_path, ["openvino"])
    assert interpreter(tmp_path / "peers", []) == tmp_path / "peers" / "bin" / "python"


def test_a_ratio_is_the_median_of_its_rounds_to_the_fastest_in_each() -> None:
    times = {
        "svlm": taken(word_5700=[10, 20, 90]),
        "openvino": taken(word_5700=[20, 10, 30]),
        "llama": taken(word_5700=[40, 40, 25]),
    }
    assert ratios(times) == {"word, 5,700 cached": 2.0}  # 10 / 20, 20 / 10, 90 / 25
    assert medians(times)["word, 5,700 cached"] == {"svlm": 20, "openvino": 20, "llama": 40}


def test_a_step_is_a_tower_a_prefill_and_twenty_words() -> None:
    whole = taken(word_5700=[2.0], prefill_320=[300.0], tower_1=[60.0])
    others = taken(word_5700=[3.0], prefill_320=[700.0], tower_1=[40.0])
    no_tower = taken(word_5700=[1.0], prefill_320=[1.0], tower_1=[])
    times = {"svlm": whole, "openvino": others, "llama": no_tower}
    assert medians(times)["step at 2 FPS"] == {"svlm": 400, "openvino": 800}
    assert ratios(times)["step at 2 FPS"] == 0.5
    assert "step at 8 FPS" not in medians(times)
    lines = table({"int8": times}, {"int8": {"tower-1": 30.0}}, ["svlm", "openvino", "llama"]).splitlines()
    assert "| int8 | tower, 1 pair | 60.0 | 40.0 | – | **1.50** | 30.0 | 2.00 |" in lines
    assert lines[-1] == "| int8 | step at 2 FPS | 400 | 800 | – | **0.50** | – | – |"
    assert len({line.count("|") for line in lines}) == 1


def test_a_difference_is_in_standard_deviations() -> None:
    own = np.random.default_rng(0).normal(3.0, 5.0, 1000)
    assert difference(own.tolist(), own.tolist()) == 0
    assert difference(own.tolist(), (own + 1).tolist()) == pytest.approx(1 / own.std())


def test_all_are_shown_what_svlm_makes_of_the_pictures() -> None:
    frames = np.repeat(pictures(2), 2, axis=0)
    made = clip_to_patches(frames, PatchSettings())
    assert made.grid_thw == (2, *GRID)
    np.testing.assert_allclose(patches(2), made.pixel_values.numpy(), atol=1e-6)


def test_svlm_is_measured_and_has_a_floor(tmp_path: Path, checkpoint: Path) -> None:
    engine = Engine("float32", checkpoint, tmp_path, "default")
    serve.checked(engine, tmp_path / "found.npz")
    with np.load(tmp_path / "found.npz") as found:
        assert found["features"].shape == (GRID[0] * GRID[1] // 4, 64)
    for name in ("word-5700", "prefill-320", "tower-1"):
        assert serve.measured(engine, name) > 0
        floor = serve.answered(engine, {"do": "floor", "stage": name})
        assert 0 < floor < 1


def test_an_engine_that_ends_is_told_with_what_it_printed(tmp_path: Path) -> None:
    with (
        Contestant("nobody", "float32", tmp_path, Path(sys.executable), tmp_path, "default") as engine,
        pytest.raises(SystemExit, match=r"by_nobody'\nnobody has ended while asked to tell"),
    ):
        engine.ask("tell")
