"""``svlm bench fps``: shapes and figures against what can be counted by hand; nothing here is timed."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from svlm_cli import (
    OutputError,
    Policy,
    Sampling,
    StreamSession,
    StreamSettings,
    UsageError,
    load_model,
    open_source,
)
from svlm_cli.bench.common.compare import compare
from svlm_cli.bench.common.records import claim_folder
from svlm_cli.bench.speed import measure as efficiency
from svlm_cli.bench.speed import rates
from svlm_cli.bench.speed.floor import Fed, Floor, watched
from svlm_cli.bench.speed.fps import SpeedEnd, SpeedStart, bench_fps
from svlm_cli.bench.speed.grid import load_speed_grid
from svlm_cli.bench.speed.measure import SpeedRun, find_max_fps, measure
from svlm_cli.bench.speed.plan import NamedSettings, SpeedClock, SpeedPlan
from svlm_cli.bench.speed.report import latency_plot, main_table, row, slope, steady_start
from svlm_cli.cli import run
from svlm_cli.model import linear
from svlm_cli.model.kernels import fourbit
from svlm_cli.model.load import BUNDLED
from svlm_cli.types import Clip
from tests.stream.engine import clips

ROOT = Path(__file__).resolve().parents[3]
SOURCE = "arena:soccer,seed=1,minutes=1"
HOW = {"quantize": "none", "packed": True, "compiled": False, "graphs": False, "threads": 1}
SETTINGS = StreamSettings(vision_window=2, rounds=2, sampling=Sampling(4, greedy=True))


def plan(*policies: Policy, num_seconds: float = 6, floor_steps: int = 2) -> SpeedPlan:
    return SpeedPlan(
        SOURCE,
        tuple(NamedSettings(each.value, replace(SETTINGS, policy=each)) for each in policies),
        num_seconds,
        floor_steps,
        SpeedClock.CPU,
    )


@pytest.fixture(scope="module")
def bundled():
    return load_model(device="cpu", threads=1)


@pytest.mark.parametrize("number_format", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("has_kernels", [True, False])
def test_every_format_has_a_best_rate(number_format: str, has_kernels: bool, monkeypatch) -> None:
    """Where nothing is faster, too, than what a layer then does: torch's slow products are left alone."""
    if not has_kernels:
        monkeypatch.setattr(rates, "panel_kernels", lambda _format: None)
        monkeypatch.setattr(rates, "can_pack", lambda _format: False)
        monkeypatch.setattr(rates, "functional", SimpleNamespace())
        monkeypatch.delattr(torch, "_int_mm")
        for module in (rates, linear):
            monkeypatch.setattr(module, "multiplies_bytes", lambda: False)
        for module in (linear, fourbit):
            monkeypatch.setattr(module, "byte_kernels", lambda: None)
    shapes = Counter([rates.ProductShape(number_format, rows, 64, 48) for rows in (1, 300)])
    assert rates.Rates(torch.device("cpu"), time.process_time).best(number_format, shapes) > 0


def test_the_best_rate_of_four_bits_is_at_least_their_own_layers(monkeypatch) -> None:
    """Not that of whole bytes alone, which takes longer on some processors."""
    seconds = {"Int8Linear": 3.0, "Int4Linear": 2.0}
    measured = rates.Rates(torch.device("cpu"), time.process_time)
    monkeypatch.setattr(
        measured, "_seconds", lambda kernel: seconds[type(getattr(kernel, "func", None)).__name__]
    )
    monkeypatch.setattr(rates, "multiplies_bytes", lambda: False)
    shape = rates.ProductShape("int4", 300, 64, 48)
    assert measured.best("int4", Counter([shape])) == shape.multiplications / 2.0


def test_the_floor_counts_every_product_of_a_step_once(model):
    """The floor multiplies as much as the engine's own linear layers, the head on one row a word."""
    seen = watched(model)
    session = StreamSession(
        seen, replace(SETTINGS, sampling=Sampling(4, greedy=True, repetition_penalty=9.0))
    )
    counted: list[int] = []

    def count(layer, inputs, output) -> None:
        counted.append(output.numel() * layer.in_features)

    for clip in clips(4, size=(112, 140)):
        seen.forget()
        hooks = [
            layer.register_forward_hook(count)
            for layer in model.network.modules()
            if isinstance(layer, torch.nn.Linear)
        ]
        counted.clear()
        event = session.step(clip)
        for hook in hooks:
            hook.remove()
    assert [fed.stage for fed in seen.fed].count("decode") == event.num_new_tokens - 1
    assert seen.fed[-1] == Fed(1, event.num_cached_tokens - 1)
    floor = Floor(model)
    work = floor.work(seen, session.cache)
    embedding = model.network.model.visual.patch_embed.proj.weight.numel() * np.prod(seen.grids[0])
    assert sum(each.products["float32"] for each in work.values()) == sum(counted) + embedding
    assert sum(each.scores["float32"] for each in work.values()) == scores_needed(model, seen)
    words = [fed for fed in seen.fed if fed.stage == "decode"]
    text = model.network.model.language_model
    weights = [each.weight for each in text.layers.modules() if isinstance(each, torch.nn.Linear)]
    read = len(words) * sum(each.numel() for each in (*weights, model.network.lm_head.weight))
    size = text.config.num_key_value_heads * text.config.hidden_size // text.config.num_attention_heads
    read += sum(2 * len(text.layers) * (fed.num_cached + 1) * size for fed in words)
    assert work["decode"].num_bytes == 4 * read
    seconds = floor.seconds(seen, session.cache)
    assert sorted(seconds) == ["decode", "prefill", "vision"]
    assert min(seconds.values()) > 0


def scores_needed(model, seen) -> int:
    """Multiplications of queries by keys and of weights by values: vision within its windows (of a frame pair
    in some blocks), words with those before them, in the last layer but the last of them."""
    visual, text = model.network.model.visual, model.network.config.text_config
    total = 0
    for num_times, height, width in seen.grids:
        for block in range(len(visual.blocks)):
            if block in visual.fullatt_block_indexes:
                lengths = [height * width] * num_times
            else:
                side = visual.window_size // visual.patch_size
                cells = [
                    min(side, height - top) * min(side, width - left)
                    for top in range(0, height, side)
                    for left in range(0, width, side)
                ]
                lengths = cells * num_times
            attention = visual.blocks[block].attn
            total += 2 * attention.num_heads * attention.head_dim * sum(length**2 for length in lengths)
    for fed in seen.fed:
        seen_by = [fed.num_cached + row + 1 for row in range(fed.num_new)]
        total += 2 * text.hidden_size * ((text.num_hidden_layers - 1) * sum(seen_by) + seen_by[-1])
    return total


def test_a_folder_of_another_benchmark_is_left_alone(bundled, tmp_path):
    line = '{"run": "streaming", "seed": 3, "said": []}\n'
    (tmp_path / "results.jsonl").write_text(line)
    with pytest.raises(OutputError, match="of another benchmark"):
        [*bench_fps(bundled, plan(Policy.STREAMING), HOW, tmp_path)]
    assert (tmp_path / "results.jsonl").read_text() == line


def test_a_run_step_by_step(bundled):
    *progress, run = measure(bundled, plan(Policy.STREAMING), plan(Policy.STREAMING).runs[0])
    assert len(progress) == len(run.num_words) == len(run.seconds["vision"]) == 6
    assert run.warm_up_steps == 4
    assert len(run.floor["decode"]) == len(run.engine["decode"]) == 2
    assert run.engine["prefill"] == run.seconds["prefill"][-2:]
    assert run.cache_bytes > 0 < run.resident_bytes
    assert efficiency.run_from_json(json.loads(json.dumps(efficiency.run_to_json(run)))) == run


def test_both_definitions_of_seconds_per_token():
    run = SpeedRun("streaming", "streaming", 2.0, 1.0, warm_up_steps=1)
    run.seconds = {
        "read": [9, 1, 1],
        "vision": [9, 2, 2],
        "prefill": [9, 3, 3],
        "decode": [9, 4, 4],
        "cache": [9, 0.1, 0.1],
    }
    run.num_words, run.num_cached = [7, 4, 6], [1, 3, 3]
    run.engine = {stage: [4.0, 6.0] for stage in efficiency.WORK}
    run.floor = {"vision": [2.0, 3.0], "prefill": [4.0, 6.0], "decode": [0.0, 0.0]}
    figures = row(run)
    assert figures["seconds_per_token"] == pytest.approx(18 / 10)
    assert figures["seconds_per_token_end_to_end"] == pytest.approx(20.2 / 10)
    assert figures["realtime_factor"] == pytest.approx(1 / 10.1)
    assert figures["upkeep_percent"] == pytest.approx(100 * 0.1 / 10.1)
    assert figures["floor"]["ratio"] == {"vision": 2.0, "prefill": 1.0, "decode": None, "all": 2.0}


@pytest.mark.parametrize(("rise", "flat"), [(0.0, True), (0.0002, False)])
def test_a_rise_is_told_from_noise(rise, flat):
    run = SpeedRun("streaming", "streaming", 2.0, 1.0, warm_up_steps=10)
    noise = np.random.default_rng(1).exponential(0.1, 2010)
    run.seconds |= {stage: [0.0] * 2010 for stage in run.seconds}
    run.num_cached = [5] * 2010
    run.seconds["decode"] = list(1.0 + noise + rise * np.arange(2010))
    line = slope(run)
    assert line is not None
    assert line.is_flat is flat
    if rise:
        assert line.percent == pytest.approx(100 * 0.2 / np.median(run.seconds["decode"]), rel=0.1)


def test_steady_is_when_previous_text_has_filled_up():
    run = SpeedRun("streaming", "streaming", 2.0, 1.0, warm_up_steps=4)
    run.num_cached = [100 + 10 * min(step, 40) for step in range(100)]
    assert steady_start(run) == 39  # 490 of 500
    run.policy = "full"
    assert steady_start(run) == 4


def test_results_are_kept_and_not_measured_again(bundled, tmp_path):
    wanted = plan(Policy.STREAMING, Policy.FULL)
    first = list(bench_fps(bundled, wanted, HOW, tmp_path))
    assert isinstance(first[-1], SpeedEnd)
    assert [each["policy"] for each in first[-1].summary["runs"]] == ["streaming", "full"]
    assert json.loads((tmp_path / "summary.json").read_text()) == first[-1].summary
    with Image.open(tmp_path / "latency.png") as picture:
        assert picture.width > 500
    assert "| streaming | 2 | all |" in (tmp_path / "report.md").read_text()
    second = list(bench_fps(bundled, wanted, HOW, tmp_path))
    assert second[0] == SpeedStart(first[0].model, 0, 2, 2)
    assert second[-1] == first[-1]
    other = list(bench_fps(bundled, wanted, HOW | {"threads": 2}, tmp_path))
    assert other[0].num_done == 0


def test_two_with_one_folder_do_not_lose_each_others_runs(bundled, tmp_path):
    with claim_folder(tmp_path), pytest.raises(OutputError, match="is being written by process"):
        list(bench_fps(bundled, plan(Policy.STREAMING), HOW, tmp_path))


def test_a_damaged_line_is_measured_again(bundled, tmp_path):
    list(bench_fps(bundled, plan(Policy.WINDOW), HOW, tmp_path))
    (tmp_path / "results.jsonl").write_text("{half a li")
    warning, start, *_ = bench_fps(bundled, plan(Policy.WINDOW), HOW, tmp_path)
    assert "line 1" in warning.message
    assert start.num_done == 0


def test_a_short_source_is_shown_again(bundled, make_video, tmp_path):
    video = make_video(tmp_path / "short.mp4", seconds=2.0)
    short = replace(plan(Policy.STREAMING, num_seconds=5), source=str(video))
    *_, run = measure(bundled, short, short.runs[0])
    assert len(run.num_words) == 5


@contextmanager
def still(_source):
    """A source without an end whose pictures cost nothing."""

    def clips(fps, length, *_others):
        frames = np.zeros((round(fps * length), 2, 2, 3), np.uint8)
        return (Clip(k, k * length, (k + 1) * length, frames) for k in count())

    yield SimpleNamespace(clips=clips, opening_text=lambda _start: "")


def test_the_highest_fps_is_searched_by_halves(bundled, monkeypatch):
    """A step that takes a hundredth of a second per frame keeps real time up to 100 FPS."""

    class Session:
        def __init__(self, model, settings, clock=None) -> None:
            self.seconds = settings.fps / 100

        def step(self, clip):
            return type("Step", (), {"timings": type("Timings", (), {"total": self.seconds})})

    monkeypatch.setattr("svlm_cli.stream.session.StreamSession", Session)
    trials = list(find_max_fps(bundled, SOURCE, SETTINGS, opener=still))
    best = max(trial.fps for trial in trials if trial.is_real_time)
    assert 94 <= best <= 100
    assert [trial.fps for trial in trials[:7]] == [2, 4, 8, 16, 32, 64, 128]
    assert next(find_max_fps(bundled, SOURCE, SETTINGS, opener=still, first_pairs=16)).fps == 32


def test_a_run_of_any_source_ends_where_it_is_enough(bundled):
    opened = []

    def opener(name):
        opened.append(name)
        return open_source("arena:soccer,seed=4,minutes=1")

    wanted = plan(Policy.STREAMING)
    how = {"opener": opener, "is_enough": lambda run: len(run.num_words) == 3}
    *_, run = measure(bundled, wanted, wanted.runs[0], **how)
    assert opened == [SOURCE]
    assert len(run.num_words) == len(run.seconds["decode"]) == 3
    assert run.floor["vision"] == []
    assert run.cache_bytes > 0


def test_less_than_a_step_is_refused():
    with pytest.raises(UsageError, match="less than a step"):
        plan(Policy.STREAMING, num_seconds=0.5)


def test_the_picture_has_a_line_for_every_run(bundled):
    runs = [
        run
        for each in (Policy.STREAMING, Policy.FULL)
        for *_, run in [measure(bundled, plan(each), plan(each).runs[0])]
    ]
    assert latency_plot(runs)[:4] == b"\x89PNG"


def test_a_grid_makes_one_table_that_joins_the_others(bundled, tmp_path):
    """The shipped grid, with the paper's figures beside ours, and in ``svlm bench report``."""
    runs = load_speed_grid(ROOT / "recipes" / "bench_fps_grid.yaml", SETTINGS)
    assert {each.settings.policy for each in runs} == set(Policy)
    wanted = SpeedPlan(SOURCE, runs[:2], 6, 0, SpeedClock.CPU)
    *_, end = bench_fps(bundled, wanted, HOW, tmp_path)
    rows = end.summary["runs"]
    assert [each["run"] for each in rows] == ["streaming", "full attention"]
    assert all("6 s of arena" in each["protocol"] for each in rows)
    table = main_table(end.summary).markdown()
    assert "0.05 s/token, flat to 1000 s |" in table
    (found,) = compare([tmp_path])
    assert "over 0.1 s/token from 60 s on" in found.table().markdown()
    assert f"{rows[0]['seconds_per_token']:g} s/token" in found.table().markdown()


def test_a_grid_of_the_arena_is_told_apart(tmp_path):
    (tmp_path / "grid.yaml").write_text("runs: [{name: a, sink: opening}, {name: b, frames: blank}]")
    with pytest.raises(UsageError, match=r"opening is for matches.*unknown key 'frames'"):
        load_speed_grid(tmp_path / "grid.yaml", SETTINGS)


def test_livecc_is_measured_under_the_policies_that_are_named(tmp_path, capsys):
    """Its own prompt evicts nothing, so that it would have been ``full`` under another's name."""
    model = tmp_path / "LiveCC-7B-Base"
    shutil.copytree(BUNDLED, model)
    options = ["--model", str(model), "--seconds", "2", "--floor-steps", "0", "--out", str(tmp_path / "out")]
    assert run(["bench", "fps", SOURCE, *options, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [each["policy"] for each in runs] == [each.value for each in Policy]
