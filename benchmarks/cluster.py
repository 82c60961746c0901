"""What sharing work out over Ray costs: tiny jobs, memory of the command, align beside two local workers.

    python benchmarks/cluster.py                                   10,000 tiny jobs, two workers
    python benchmarks/cluster.py --whisper-model DIR --clips 12    and align, on Ray and here, in turns

Ray begins on this machine, with two CPUs. A tiny job returns a number: its time is the scheduler's own. Of
align the clips are of one length, and the clock runs from the second that is done to the last, so that
neither Ray's beginning nor the loading of Whisper counts. Both are timed in every round, each first in turn;
the last line has the ratio of the medians. flite makes the speech.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from transcribe import SAMPLE_RATE, make_track

from svlm_cli.data.words.aligner import AlignOptions
from svlm_cli.data.words.beside import align_files
from svlm_cli.data.words.transcribe import WhisperOptions
from svlm_cli.work.jobs import Ended, Signals
from svlm_cli.work.place import HERE, Workplace

PAGE_BYTES = resource.getpagesize()
WORKERS = 2


@dataclass(frozen=True)
class Adder:
    """A hand with next to nothing to do."""

    def do(self, job: int) -> Iterator[int]:
        """Add one."""
        yield job + 1


def hire(_signals: Signals) -> Adder:
    return Adder()


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / (1 << 20)


def tiny_jobs(place: Workplace, num: int) -> dict[str, object]:
    """Time and memory of many jobs, once every hand has done one."""
    with place.crew(hire, WORKERS, shares=False, with_gpu=False) as crew:
        crew.add(range(4 * WORKERS))
        assert sum(isinstance(heard, Ended) for heard in crew.events()) == 4 * WORKERS
        begun, memory = time.monotonic(), []
        crew.add(range(num))
        done = 0
        for heard in crew.events():
            done += isinstance(heard, Ended)
            if isinstance(heard, Ended) and done % (num // 10) == 0:
                memory.append(round(resident_mib(), 1))
        seconds = time.monotonic() - begun
    assert done == num
    return {"what": f"{num} tiny jobs", "ms_each": round(seconds / num * 1e3, 3), "resident_mib": memory}


def align(place: Workplace, folder: Path, model: str) -> tuple[float, dict[str, bytes]]:
    """Clips a second, and what was written."""
    for written in folder.glob("*.json"):
        written.unlink()
    options = AlignOptions(WhisperOptions(model, device="cpu", workers=WORKERS, threads=WORKERS))
    clips = sorted(folder.glob("*.wav"))
    times = []
    for done in align_files(clips, options, ("json",), folder / "answers", place):
        assert done.outcome == "aligned", done
        times.append(time.monotonic())
    seconds = times[-1] - times[WORKERS - 1]
    return (len(clips) - WORKERS) / seconds, {path.name: path.read_bytes() for path in folder.glob("*.json")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--whisper-model")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    cluster = Workplace(True)
    print(json.dumps(tiny_jobs(cluster, arguments.jobs)))
    if arguments.whisper_model is None:
        return
    sound, _ = make_track(arguments.minutes)
    with tempfile.TemporaryDirectory() as name:
        for number in range(arguments.clips):
            with wave.open(f"{name}/clip{number:02}.wav", "wb") as file:
                file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                file.writeframes(sound.tobytes())
        row: dict[str, object] = {
            "what": f"align of {arguments.clips} clips of {arguments.minutes:g} minutes"
        }
        speeds: dict[str, list[float]] = {"local": [], "ray": []}
        written = []
        for number in range(arguments.rounds):
            places = [("local", HERE), ("ray", cluster)]
            for where, place in places if number % 2 == 0 else places[::-1]:
                speed, files = align(place, Path(name), arguments.whisper_model)
                speeds[where].append(speed)
                written.append(files)
            told = {where: round(own[-1], 4) for where, own in speeds.items()}
            print(json.dumps(row | {"round": number + 1, "clips_per_second": told}), flush=True)
        medians = {where: median(own) for where, own in speeds.items()}
        row |= {"median_clips_per_second": {where: round(own, 4) for where, own in medians.items()}}
        row |= {"ray_to_local": round(medians["ray"] / medians["local"], 3)}
        print(json.dumps(row | {"same_bytes": all(files == written[0] for files in written)}))


if __name__ == "__main__":
    main()
