"""What the decode loop adds to the bare Hugging Face forward, per word, and what compiling it saves.

    python benchmarks/decode_overhead.py [--model DIR] [--cached N] [--compile]

The bare forward is transformers' own, fed the same embedding over the same cache, with nothing drawn. Rounds
of 20 words of each in turn over ``--cached`` tokens, one thread, CPU time; medians and lower quartiles of
``--rounds``, since what a shared machine adds is never less than nothing. With ``--compile`` the
loop once more in fixed shapes, and those compiled; the storage has room for a quarter more than is cached.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from svlm_cli import Sampling, load_model
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.decode import Sampler, speak
from svlm_cli.model.hooks.fixed_words import WordForward
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.window import TokenRange
from svlm_cli.model.words import Words

NUM_WORDS = 20
Kind = tuple[VideoLanguageModel, Callable[[VideoLanguageModel, StreamingCache, Words], None]]


def filled(model: VideoLanguageModel, num_cached: int) -> StreamingCache:
    cache = model.new_cache(num_cached * 5 // 4 + NUM_WORDS)
    rows = np.tile(np.arange(num_cached, dtype=np.float64), (3, 1))
    model.forward(model.embed([7] * num_cached), rows, cache)
    return cache


def bare(model: VideoLanguageModel, cache: StreamingCache, _words: Words) -> None:
    embedding, first = model.embed([5])[None], cache.num_tokens
    for step in range(NUM_WORDS):
        model.network(
            inputs_embeds=embedding,
            position_ids=torch.full((3, 1, 1), float(first + step)),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )


def greedy(model: VideoLanguageModel, cache: StreamingCache, words: Words) -> None:
    loop(model, cache, words, Sampling(greedy=True))


def sampled(model: VideoLanguageModel, cache: StreamingCache, words: Words) -> None:
    loop(model, cache, words, Sampling())


def loop(model: VideoLanguageModel, cache: StreamingCache, words: Words, sampling: Sampling) -> None:
    sampler = Sampler(sampling, model.device)
    sampler.begin(range(100))

    def feed(token: int) -> torch.Tensor:
        return words.feed(token, float(cache.num_tokens))

    speak(feed(5), feed, sampler, NUM_WORDS, lambda _: False)


def fixed_kinds(name: str | None) -> dict[str, Kind]:
    compiled = load_model(name, device="cpu", threads=1, compiled=True)
    plain = replace(compiled, word_forward=WordForward(compiled.network, compiled=False, graphs=False))
    return {"fixed shapes, greedy": (plain, greedy), "compiled, greedy": (compiled, greedy)}


def ready(model: VideoLanguageModel, num_cached: int) -> tuple[StreamingCache, Words]:
    cache = filled(model, num_cached)
    words = model.words(cache)
    words.prepare()
    return cache, words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="checkpoint folder; default: the bundled model")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cached", type=int, default=400, help="tokens")
    parser.add_argument("--compile", action="store_true")
    chosen = parser.parse_args()
    model = load_model(chosen.model, device="cpu", threads=1)
    kinds: dict[str, Kind] = {"bare": (model, bare), "greedy": (model, greedy), "sampled": (model, sampled)}
    figures: dict[str, object] = {}
    if chosen.compile:
        kinds |= fixed_kinds(chosen.model)
        began = time.perf_counter()
        with torch.inference_mode():
            ready(kinds["compiled, greedy"][0], chosen.cached)
        figures["seconds_to_compile"] = round(time.perf_counter() - began, 1)
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    with torch.inference_mode():
        held = {name: ready(used, chosen.cached) for name, (used, _) in kinds.items()}
        for _ in range(chosen.rounds):
            for name, (used, work) in kinds.items():
                cache, words = held[name]
                cache.evict([TokenRange(0, chosen.cached)])
                began = time.process_time()
                work(used, cache, words)
                taken[name].append((time.process_time() - began) / NUM_WORDS * 1e3)
    quartiles = {name: statistics.quantiles(times, n=4)[0] for name, times in taken.items()}
    for name, times in taken.items():
        figures[name] = {
            "median_ms": round(statistics.median(times), 3),
            "quartile_ms": round(quartiles[name], 3),
            "added_ms": round(quartiles[name] - quartiles["bare"], 3),
            "to_greedy": round(quartiles[name] / quartiles["greedy"], 3),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
