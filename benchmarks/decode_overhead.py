"""What the decode loop adds to the bare Hugging Face forward, per word.

    python benchmarks/decode_overhead.py [--model DIR]

The bare forward is transformers' own, fed the same embedding over the same cache, with nothing drawn. Rounds
of 20 words of each in turn over 400 cached tokens, one thread, CPU time; medians and lower quartiles of
``--rounds``, since what a shared machine adds is never less than nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from svlm_cli import Sampling, load_model
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Sampler, speak
from svlm_cli.model.runtime import VideoLanguageModel

NUM_CACHED, NUM_WORDS = 400, 20


def filled(model: VideoLanguageModel) -> StreamingCache:
    cache = model.new_cache(NUM_CACHED + NUM_WORDS)
    rows = np.tile(np.arange(NUM_CACHED, dtype=np.float64), (3, 1))
    model.forward(model.embed([7] * NUM_CACHED), rows, cache)
    return cache


def bare(model: VideoLanguageModel, cache: StreamingCache) -> None:
    embedding = model.embed([5])[None]
    for step in range(NUM_WORDS):
        model.network(
            inputs_embeds=embedding,
            position_ids=torch.full((3, 1, 1), float(NUM_CACHED + step)),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )


def ours(model: VideoLanguageModel, cache: StreamingCache, sampling: Sampling) -> None:
    sampler = Sampler(sampling, model.device)
    sampler.begin(range(100))
    fed = 0

    def feed(token: int) -> torch.Tensor:
        nonlocal fed
        rows = np.full((3, 1), float(NUM_CACHED + fed))
        fed += 1
        return model.forward(model.embed([token]), rows, cache)

    speak(feed(5), feed, sampler, NUM_WORDS, lambda _: False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="checkpoint folder; default: the bundled model")
    parser.add_argument("--rounds", type=int, default=40)
    chosen = parser.parse_args()
    model = load_model(chosen.model, device="cpu", threads=1)
    kinds: dict[str, Callable[[StreamingCache], None]] = {
        "bare": lambda cache: bare(model, cache),
        "greedy": lambda cache: ours(model, cache, Sampling(greedy=True)),
        "sampled": lambda cache: ours(model, cache, Sampling()),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    with torch.inference_mode():
        for _ in range(chosen.rounds):
            for name, work in kinds.items():
                cache = filled(model)
                began = time.process_time()
                work(cache)
                taken[name].append((time.process_time() - began) / NUM_WORDS * 1e3)
    figures = {}
    for name, times in taken.items():
        figures[name] = {
            "median_ms": round(statistics.median(times), 3),
            "quartile_ms": round(statistics.quantiles(times, n=4)[0], 3),
        }
        figures[name]["added_ms"] = round(figures[name]["quartile_ms"] - figures["bare"]["quartile_ms"], 3)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
