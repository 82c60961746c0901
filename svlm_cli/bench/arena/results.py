"""``results.jsonl`` of the arena: one line per whole match, and never half of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from svlm_cli import __version__
from svlm_cli.bench.arena.answers import AnswerOutcome, Where
from svlm_cli.bench.arena.match import MatchJob, MatchResult
from svlm_cli.bench.arena.score import Tally
from svlm_cli.bench.common.intervals import rounded
from svlm_cli.bench.common.model import ModelFacts
from svlm_cli.bench.common.records import Record, RecordFile
from svlm_cli.bench.common.results import RESULTS_NAME

_SPEEDS = ("wall_seconds", "realtime_factor", "p50_step_seconds", "p95_step_seconds", "p99_step_seconds")


class ResultsFile(RecordFile):
    """The matches in a folder; lines of other models and settings are kept: a folder may hold several.

    Args:
        folder: made where it does not exist.

    Raises:
        OutputError: it cannot be made, written or read, or another benchmark writes to it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / RESULTS_NAME, _key)

    def find(self, job: MatchJob) -> MatchResult | None:
        """The match, if it was streamed before with the same fingerprint."""
        record = self.get((job.key, job.seed))
        if record is None:
            return None
        said = [""] * job.num_seconds
        for second, words in record["said"]:
            said[second] = words
        answers = tuple(_answer(each) for each in record.get("answers", []))
        return MatchResult(job, tuple(said), answers=answers, **{name: record[name] for name in _SPEEDS})

    def add_match(self, result: MatchResult, facts: ModelFacts, scores: Tally) -> None:
        """Add a match and write it.

        Raises:
            OutputError: see ``RecordFile.add``.
        """
        job = result.job
        self.add(
            {
                "run": job.run.name,
                "seed": job.seed,
                "seconds": job.num_seconds,
                "fingerprint": job.key,
                "version": __version__,
                "model": facts.name,
                "model_fingerprint": facts.fingerprint,
                "device": facts.device,
                "dtype": facts.dtype,
                "settings": job.run.identity(),
                "scores": {name: rounded(ratio.percent) for name, ratio in scores.items()},
                **{name: round(getattr(result, name), 6) for name in _SPEEDS},
                "said": [[second, words] for second, words in enumerate(result.said) if words],
                **({"answers": [asdict(answer) for answer in result.answers]} if job.run.is_asked else {}),
            }
        )


def _key(record: Record) -> tuple[str, int]:
    """Fingerprint and seed of a whole match."""
    is_whole = _is_speech(record["said"], int(record["seconds"]))
    if not is_whole or not all(isinstance(record[name], int | float) for name in _SPEEDS):
        raise ValueError("not a whole match")
    for each in record.get("answers", []):
        _answer(each)
    return str(record["fingerprint"]), int(record["seed"])


def _answer(stored: Mapping[str, Any]) -> AnswerOutcome:
    """A question and what became of it, as it is stored."""
    texts = [stored[name] for name in ("name", "question", "truth", "right", "reply")]
    if type(stored["second"]) is not int or not all(isinstance(text, str) for text in texts):
        raise ValueError("not an answer")
    name, question, truth, right, reply = texts
    return AnswerOutcome(stored["second"], name, question, truth, right, Where(stored["where"]), reply)


def _is_speech(said: Sequence[Iterable[object]], num_seconds: int) -> bool:
    pairs = [tuple(each) for each in said]
    return all(
        len(pair) == 2
        and isinstance(pair[0], int)
        and isinstance(pair[1], str)
        and 0 <= pair[0] < num_seconds
        for pair in pairs
    )
