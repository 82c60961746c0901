"""What a step must compute and move: FLOPs and bytes by stage for a 7B model, as a prediction for a GPU.

    python benchmarks/arithmetic.py [--peak-tflops 989 --bandwidth-tbs 3.35 --efficiency 0.6]

Defaults: Qwen2.5-VL-7B in bfloat16 (sizes of its config.json) on an H100 SXM (NVIDIA's data sheet: 989 dense
TFLOPS in bfloat16, 3.35 TB/s), kernels at 60 % of either peak. A stage takes the longer of its two times.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

WORDS, TEXT, MARKUP, WINDOW = 20, 1024, 30, 16
HIDDEN, LAYERS, HEADS, KEY_HEADS, SIZE, MLP, VOCABULARY = 3584, 28, 28, 4, 128, 18944, 152_064
SIGHT, BLOCKS, WHOLE_BLOCKS, SIGHT_MLP, PATCH, AREA = 1280, 32, 4, 3420, 1176, 64
LAYER = 2 * HIDDEN * HEADS * SIZE + 2 * HIDDEN * KEY_HEADS * SIZE + 3 * HIDDEN * MLP
BLOCK = 4 * SIGHT * SIGHT + 3 * SIGHT * SIGHT_MLP
MERGER = (4 * SIGHT) ** 2 + 4 * SIGHT * HIDDEN
PIXELS = {"640x360": (26, 46), "448x448": (32, 32)}


@dataclass(frozen=True, slots=True)
class Stage:
    """FLOPs and bytes of one stage of a step."""

    flops: float
    bytes: float

    def seconds(self, peak: float, bandwidth: float) -> float:
        """The longer of computing (FLOP/s) and moving (bytes/s)."""
        return max(self.flops / peak, self.bytes / bandwidth)


def step(fps: int, grid: tuple[int, int]) -> tuple[int, dict[str, Stage]]:
    """Tokens cached and the stages of one second, full window."""
    frames, per_frame = fps // 2, grid[0] * grid[1]
    patches, new = frames * per_frame, frames * per_frame // 4 + MARKUP
    cached = TEXT + WINDOW * (new + WORDS)
    seen = WHOLE_BLOCKS * per_frame + (BLOCKS - WHOLE_BLOCKS) * AREA
    weights = 2 * (LAYERS * LAYER + HIDDEN * VOCABULARY)
    per_token = 2 * 2 * LAYERS * KEY_HEADS * SIZE
    vision = Stage(
        2 * patches * (BLOCKS * BLOCK + PATCH * SIGHT)
        + 2 * patches / 4 * MERGER
        + 4 * patches * seen * SIGHT,
        2 * (BLOCKS * BLOCK + MERGER),
    )
    attention = 4 * HEADS * SIZE * LAYERS
    prefill = Stage(
        2 * new * LAYERS * LAYER + attention * new * (cached - new / 2) + 2 * HIDDEN * VOCABULARY,
        weights + per_token * cached,
    )
    words = WORDS - 1
    decode = Stage(words * (weights + attention * cached), words * (weights + per_token * cached))
    return cached, {"vision": vision, "prefill": prefill, "decode": decode}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peak-tflops", type=float, default=989)
    parser.add_argument("--bandwidth-tbs", type=float, default=3.35)
    parser.add_argument("--efficiency", type=float, default=0.6)
    chosen = parser.parse_args()
    peak = chosen.peak_tflops * 1e12 * chosen.efficiency
    bandwidth = chosen.bandwidth_tbs * 1e12 * chosen.efficiency
    print(
        "| picture | FPS | cached tokens | cache, GB | vision, TFLOP / GB | prefill | decode | vision, ms "
        "| prefill | decode | step | ms per word (all / 20) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name, grid in PIXELS.items():
        for fps in (2, 8, 24, 60):
            cached, stages = step(fps, grid)
            times = [1e3 * stage.seconds(peak, bandwidth) for stage in stages.values()]
            work = [f"{stage.flops / 1e12:.2f} / {stage.bytes / 1e9:.1f}" for stage in stages.values()]
            cells = [
                name,
                str(fps),
                f"{cached:,}",
                f"{2 * 2 * LAYERS * KEY_HEADS * SIZE * cached / 1e9:.2f}",
                *work,
            ]
            cells += [*(f"{each:.0f}" for each in times), f"{sum(times):.0f}", f"{sum(times) / WORDS:.1f}"]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
