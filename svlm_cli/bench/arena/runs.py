"""What is measured: one run per way to stream, over the same unseen matches; no torch."""

from __future__ import annotations

from dataclasses import dataclass

from svlm_cli.arena.asking.match import QUESTIONS_DRAWN
from svlm_cli.bench.common.frames import Frames
from svlm_cli.bench.common.settings import memory_identity
from svlm_cli.errors import UsageError
from svlm_cli.settings import StreamSettings, whole

# Seeds below are for measuring; training starts at 1,000,000.
NUM_UNSEEN_SEEDS = 10_000


@dataclass(frozen=True, slots=True)
class ArenaRun:
    """One row of the table.

    Args:
        name: the name of the row.
        settings: greedy, one second a step; its previous text gives way to the match's opening text.
        frames: what the model is shown.
        sink_is_opening: the sink holds exactly the tokens of the opening text; ``settings.sink`` is
            not used.
        paper: what the paper prints for such a row, e.g. ``66.18 %``; None where it has none.
        is_asked: the match's questions are asked.

    Raises:
        UsageError: settings that cannot be scored.
    """

    name: str
    settings: StreamSettings
    frames: Frames = Frames.SHOWN
    sink_is_opening: bool = False
    paper: str | None = None
    is_asked: bool = False

    def __post_init__(self) -> None:
        if self.settings.step_seconds != 1:
            raise UsageError("the arena is scored by the second: steps must last 1 s")
        if not self.settings.sampling.greedy:
            raise UsageError("the arena is scored on greedy words")

    @property
    def sink_text(self) -> str:
        """The sink's size as tables show it."""
        return "opening" if self.sink_is_opening else str(self.settings.sink)

    def identity(self) -> dict[str, object]:
        """Everything about the run that can change a word: plain values for JSON."""
        settings = self.settings
        sink = {"sink": "opening"} if self.sink_is_opening else {}
        asked = {"asked": QUESTIONS_DRAWN} if self.is_asked else {}
        return (
            memory_identity(settings)
            | sink
            | asked
            | {
                "frames": self.frames.value,
                "query": settings.query,
                "max_new_tokens": settings.sampling.max_new_tokens,
                "repetition_penalty": settings.sampling.repetition_penalty,
                "min_pixels": settings.min_pixels,
                "max_pixels": settings.max_pixels,
            }
        )


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Every run over every match.

    Args:
        runs: runs with names of their own.
        first_seed, num_matches: the seeds ``first_seed`` and following, all below
            ``NUM_UNSEEN_SEEDS``.
        minutes: length of each match, whole seconds.
        asks: each match is streamed a second time, with its questions.

    Raises:
        UsageError: seeds that a model may have been trained on, no match, no second.
    """

    runs: tuple[ArenaRun, ...]
    first_seed: int = 0
    num_matches: int = 20
    minutes: float = 30.0
    asks: bool = False

    def __post_init__(self) -> None:
        if self.num_matches < 1:
            raise UsageError(f"--matches must be 1 or more, not {self.num_matches}")
        seconds = whole(self.minutes * 60)
        if seconds is None or seconds < 1:
            raise UsageError(f"--minutes must be whole seconds, at least one, not {self.minutes:g}")
        if not 0 <= self.first_seed <= NUM_UNSEEN_SEEDS - self.num_matches:
            raise UsageError(
                f"seeds {self.first_seed} to {self.first_seed + self.num_matches - 1} are not all unseen: "
                f"they must lie in 0 to {NUM_UNSEEN_SEEDS - 1}",
                f"with --matches {self.num_matches}, --seed may be 0 to "
                f"{max(0, NUM_UNSEEN_SEEDS - self.num_matches)}",
            )

    @property
    def seeds(self) -> range:
        """Of the matches."""
        return range(self.first_seed, self.first_seed + self.num_matches)

    @property
    def num_seconds(self) -> int:
        """Length of each match."""
        return round(self.minutes * 60)
