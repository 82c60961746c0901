"""Number formats on the CPU in one command: the same words as in float32, and the arena's scores.

    python benchmarks/formats.py [--matches 5] [--minutes 10] [--model CHECKPOINT] [--out formats]

Every format streams the same matches greedily by ``svlm bench arena``, one thread, and is compared with
float32: seconds that say the same, edits for 100 words, score at goals, team names, event F1. The seeds are
for measuring formats alone: no training and no other figure uses them. A Markdown table is printed; what is
in ``--out`` is not streamed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FIRST_SEED = 9_100
FORMATS = {
    "float32": [],
    "bfloat16": ["--dtype", "bfloat16"],
    "int8 (`--quantize int8`)": ["--quantize", "int8"],
    "int4 (`--quantize int4`)": ["--quantize", "int4"],
    "float32, cache in int8 (`--kv-cache int8`)": ["--kv-cache", "int8"],
    "int4, cache in int8": ["--quantize", "int4", "--kv-cache", "int8"],
    "float32, `--drop-static 2`": ["--drop-static", "2"],
}
SCORES = {"goal_score": "score at goals", "team": "team", "event_f1": "event F1"}


def streamed(options: list[str], folder: Path, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """The matches of a format, as ``results.jsonl`` has them, in the order of their seeds."""
    command = [sys.executable, "-m", "svlm_cli", "bench", "arena", "--matches", str(chosen.matches)]
    command += [
        "--minutes",
        str(chosen.minutes),
        "--seed",
        str(FIRST_SEED),
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    command += [*(["--model", chosen.model] if chosen.model else []), *options, "--out", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = (folder / "results.jsonl").read_text().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda match: int(match["seed"]))


def agreement(plain: list[dict[str, Any]], own: list[dict[str, Any]]) -> tuple[float, float]:
    """Percent of seconds that say the same, and edits for 100 words."""
    alike = seconds = edits = words = 0
    for first, second in zip(plain, own, strict=True):
        said, other = dict(first["said"]), dict(second["said"])
        for at in range(first["seconds"]):
            here, there = said.get(at, "").split(), other.get(at, "").split()
            alike, seconds = alike + (here == there), seconds + 1
            edits, words = edits + distance(here, there), words + len(here)
    return 100 * alike / max(1, seconds), 100 * edits / max(1, words)


def distance(first: list[str], second: list[str]) -> int:
    """Words to put in, take out or change (Levenshtein)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        row, before = [i], row
        for j, b in enumerate(second, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="checkpoint folder; default: the bundled model")
    parser.add_argument("--matches", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=Path("formats"))
    chosen = parser.parse_args()
    print("| format | seconds alike | edits for 100 words | " + " | ".join(SCORES.values()) + " |")
    print("|---" * (3 + len(SCORES)) + "|", flush=True)
    plain: list[dict[str, Any]] = []
    for number, (name, options) in enumerate(FORMATS.items()):
        folder = chosen.out / str(number)
        own = streamed(options, folder, chosen)
        plain = plain or own
        (run,) = json.loads((folder / "summary.json").read_text())["runs"]
        alike, edits = agreement(plain, own)
        scores = [run["scores"][key]["percent"] for key in SCORES]
        told = ["–" if score is None else f"{score:.1f}" for score in scores]
        print(f"| {name} | {alike:.1f} % | {edits:.2f} | " + " | ".join(told) + " |", flush=True)


if __name__ == "__main__":
    main()
