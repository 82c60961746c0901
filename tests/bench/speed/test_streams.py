"""``svlm bench fps --streams``: several streams beside the same ones alone."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np

from svlm_cli import Sampling, StreamSession, StreamSettings, load_model
from svlm_cli.bench.speed.floor import Fed, Floor, watched
from svlm_cli.cli import run
from svlm_cli.types import Clip

SMALL = ("--seconds", "6", "--vision-window", "2", "--rounds", "2", "--max-new-tokens", "3", "--threads", "1")


def bench(tmp_path, *options: str) -> int:
    source = "arena:soccer,seed=2,minutes=1"
    return run(["bench", "fps", source, *SMALL, *options, "--out", str(tmp_path / "out"), "--json"])


def test_streams_are_measured_and_kept(tmp_path, capsys) -> None:
    assert bench(tmp_path, "--streams", "2", "1") == 0
    first = json.loads(capsys.readouterr().out)
    assert [each["streams"] for each in first["runs"]] == [1, 2]
    for each in first["runs"]:
        assert each["alone_streams"] == each["streams"]
        assert each["words_per_step"] == each["alone_words_per_step"], "the same words either way"
        assert each["steps"] == 2
        assert 0 < each["step_p50_seconds"] <= each["step_p95_seconds"] <= each["step_p99_seconds"]
        both = each["cpu_seconds_per_stream_second"], each["alone_cpu_seconds_per_stream_second"]
        assert abs(each["ratio_to_one"] - both[0] / both[1]) < 1e-4
        assert each["cache_bytes_per_channel"] > 100_000
        assert each["ratio_to_floor"] > 1, "nothing is faster than what it cannot do without"
    assert bench(tmp_path, "--streams", "1", "2", "3") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["runs"][:2] == first["runs"], "what is there is not measured again"
    assert again["runs"][2]["streams"] == 3
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == again
    assert "| 3 |" in (tmp_path / "out" / "report.md").read_text()


def test_the_floor_of_several_streams_reads_each_weight_once(one_thread) -> None:
    """All their products and scores, their own keys and values, the weights of one of them."""
    model = load_model(None, device="cpu", packed=True)
    session = StreamSession(model, StreamSettings(sampling=Sampling(max_new_tokens=2)))
    session.step(Clip(0, 0.0, 1.0, np.zeros((2, 112, 168, 3), np.uint8)))
    cache, floor = session.cache, Floor(model)
    chance = random.Random(3)

    def work(*forwards: tuple[Fed, ...]):
        seen = watched(model)
        seen.shared.extend(forwards)
        return floor.work(seen, cache)

    for stage, most in (("prefill", 300), ("decode", 1)):
        streams = [Fed(chance.randint(most // 2 + 1, most), chance.randint(0, 900)) for _ in range(5)]
        together, alone = work(tuple(streams))[stage], [work((fed,))[stage] for fed in streams]
        assert together.products == sum((each.products for each in alone), Counter())
        assert together.scores == sum((each.scores for each in alone), Counter())
        keys = cache.storage(0)[0]
        token = 2 * cache.num_kv_layers * keys.shape[1] * keys.shape[3] * keys.element_size()
        own = [(fed.num_new + fed.num_cached) * token for fed in streams]
        weights = {each.num_bytes - held for each, held in zip(alone, own, strict=True)}
        assert len(weights) == 1
        assert together.num_bytes == sum(own) + weights.pop()


def test_what_does_not_go_together(tmp_path, capsys) -> None:
    for options, told in (
        (["7"], "unexpected extra argument (7)"),
        (["--streams", "2", "--find-max-fps"], "--streams goes with one policy"),
        (["--streams", "0"], "--streams"),
        (["--streams", "1", "--seconds", "3", "--vision-window", "3"], "--seconds must be at least"),
    ):
        assert bench(tmp_path, *options) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "summary.json").exists()
