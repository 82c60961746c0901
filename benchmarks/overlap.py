"""Stages side by side against one after the other: wall seconds per step of the same stream, in one run.

    python benchmarks/overlap.py match.mp4 --model random --fps 8 --steps 30 --rounds 3
    python benchmarks/overlap.py arena:soccer,seed=7 --fps 8 --steps 200

Both ways alternate, so that other load on the machine meets both; the words must be the same. Without a file,
640x360 pictures of noise are made at 24 FPS first.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from svlm_cli import Controls, Sampling, StepEvent, StreamSettings, load_model, open_source, stream_video
from svlm_cli.model.runtime import VideoLanguageModel

WARM_UP_STEPS = 3


def make_video(path: Path, seconds: int) -> None:
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        coarse = generator.integers(0, 256, (seconds * 24, 18, 32, 3), dtype=np.uint8)
        for picture in coarse:
            pixels = np.kron(picture, np.ones((20, 20, 1), dtype=np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def run(
    model: VideoLanguageModel, source_name: str, settings: StreamSettings, steps: int, overlap: bool
) -> tuple[list[float], list[str]]:
    """Wall seconds of each step behind the warm-up, and its words."""
    walls, words = [], []
    with open_source(source_name) as source:
        last = time.perf_counter()
        for event in stream_video(model, source, settings, controls=Controls(overlap=overlap)):
            if isinstance(event, StepEvent):
                now = time.perf_counter()
                walls.append(now - last)
                words.append(event.text)
                last = now
                if len(walls) >= steps:
                    break
    return walls[WARM_UP_STEPS:], words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", help="a video, or an arena match")
    parser.add_argument("--model", help="a checkpoint; the bundled one without it")
    parser.add_argument("--fps", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    model = load_model(options.model, threads=options.threads)
    settings = StreamSettings(fps=options.fps, sampling=Sampling(greedy=True))
    with tempfile.TemporaryDirectory() as folder:
        source = options.source
        if source is None:
            source = str(Path(folder) / "noise.mp4")
            make_video(Path(source), options.steps)
        medians: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(options.rounds):
            told = []
            for overlap in medians:
                walls, words = run(model, source, settings, options.steps, overlap)
                medians[overlap].append(statistics.mean(walls))
                told.append(words)
            if told[0] != told[1]:
                raise SystemExit("the words differ")
    apart, beside = (statistics.median(medians[overlap]) for overlap in (False, True))
    print(f"one after the other {apart:.4f} s a step, side by side {beside:.4f} s: {beside / apart:.2f}")


if __name__ == "__main__":
    main()
