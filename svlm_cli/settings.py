"""What a user can set about a stream, with its defaults and its limits in one place; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from svlm_cli.errors import UsageError

MOST_PIXELS = 1 << 26  # of a resized frame, as of one that is decoded
WHOLE_TOLERANCE = 1e-6
MIN_STEP_SECONDS = 0.1


class Policy(StrEnum):
    """What the cache keeps (docs/concepts.md has the table); ``KEEPING`` says it of each."""

    STREAMING = "streaming"
    FULL = "full"
    WINDOW = "window"
    RECOMPUTE = "recompute"

    @property
    def keeping(self) -> Keeping:
        """What it does with the context."""
        return KEEPING[self]


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a policy does with the context before a turn is written: all in which policies differ.

    Args:
        evicts: drops what the window rule drops (sink, text window, vision window, rounds).
        restarts: begins from an empty context every ``restart_seconds``.
        recomputes: computes the states of all kept tokens afresh, for which frames' features are kept as long
            as their tokens are.
    """

    evicts: bool = False
    restarts: bool = False
    recomputes: bool = False

    @property
    def is_bounded(self) -> bool:
        """Whether the context stops growing."""
        return self.evicts or self.restarts


KEEPING = {
    Policy.STREAMING: Keeping(evicts=True),
    Policy.FULL: Keeping(),
    Policy.WINDOW: Keeping(restarts=True),
    Policy.RECOMPUTE: Keeping(evicts=True, recomputes=True),
}


class Positions(StrEnum):
    """Where kept tokens stand after an eviction: next to each other again, or where they stood."""

    CONTIGUOUS = "contiguous"
    GROWING = "growing"


class Clean(StrEnum):
    """How a transcript is cleaned: what is no commentary by rules, and by a language model after them."""

    OFF = "off"
    RULES = "rules"
    LLM = "llm"


class Pace(StrEnum):
    """How fast the source is read: as fast as the model goes, or by the clock."""

    MAX = "max"
    REALTIME = "realtime"


class OnLag(StrEnum):
    """What happens when the model falls behind a source that runs by the clock."""

    DROP = "drop"
    WAIT = "wait"


class PictureStyle(StrEnum):
    """Pictures as a viewer of the video sees them, or samples as they are stored."""

    DISPLAY = "display"
    RAW = "raw"


class Deinterlace(StrEnum):
    """Which pictures are made of their two fields anew: those that say so, all, or none."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class PromptFormat(StrEnum):
    """How turns are written: svlm's way or LiveCC's; ``auto`` by the name of the checkpoint."""

    AUTO = "auto"
    SVLM = "svlm"
    LIVECC = "livecc"


class Reader(StrEnum):
    """Which library reads a video file; ``auto`` is PyAV (docs/media.md)."""

    AUTO = "auto"
    PYAV = "pyav"
    DECORD = "decord"


def _require(condition: bool, message: str, hint: str = "") -> None:
    if not condition:
        raise UsageError(message, hint)


def whole(value: float) -> int | None:
    """The integer that ``value`` is up to rounding noise, or None."""
    if not math.isfinite(value):
        return None
    nearest = round(value)
    return nearest if abs(value - nearest) < WHOLE_TOLERANCE else None


@dataclass(frozen=True, slots=True)
class Viewing:
    """How the pictures of a video are read, in training as in streaming (docs/media.md has the rules).

    Args:
        pictures: ``display``: whole pictures made of fields, pixels made square, colours without tags taken
            by size, high dynamic range brought to standard; ``raw``: none of these.
        deinterlace: which pictures are deinterlaced.
        reader: what reads files.

    Raises:
        UsageError: raw pictures are to be deinterlaced.
    """

    pictures: PictureStyle = PictureStyle.DISPLAY
    deinterlace: Deinterlace = Deinterlace.AUTO
    reader: Reader = Reader.AUTO

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictures", PictureStyle(self.pictures))
        object.__setattr__(self, "deinterlace", Deinterlace(self.deinterlace))
        object.__setattr__(self, "reader", Reader(self.reader))
        _require(
            not self.is_raw or self.deinterlace is not Deinterlace.ON,
            "--pictures raw shows fields as they are stored: --deinterlace on does not go with it",
        )

    @property
    def is_raw(self) -> bool:
        """Whether samples are shown as they are stored."""
        return self.pictures is PictureStyle.RAW

    @property
    def changes(self) -> dict[str, str]:
        """What of it is not usual and changes pixels, as plain values: for keys of what comes of them."""
        chosen = {"pictures": self.pictures.value, "deinterlace": self.deinterlace.value}
        usual = {"pictures": PictureStyle.DISPLAY.value, "deinterlace": Deinterlace.AUTO.value}
        return {name: value for name, value in chosen.items() if value != usual[name]}


VIEWING = Viewing()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How words are drawn: repetition penalty, then temperature, top-k, top-p.

    Args:
        max_new_tokens: most tokens spoken in one step.
        max_answer_tokens: most tokens of the answer to a question.
        greedy: take the best token after the repetition penalty.
        silence_threshold: a second is silent exactly where silence is at least as likely; None to draw.
        seed: the seed of the random generator; the same seed gives the same words.
    """

    max_new_tokens: int = 20
    temperature: float = 0.9
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.05
    greedy: bool = False
    seed: int = 0
    max_answer_tokens: int = 128
    silence_threshold: float | None = field(default=None, repr=False)  # in no stored key

    def __post_init__(self) -> None:
        _require(self.max_new_tokens >= 1, f"--max-new-tokens must be 1 or more, not {self.max_new_tokens}")
        share = self.silence_threshold
        _require(share is None or 0 < share < 1, f"--silence-threshold must be between 0 and 1, not {share}")
        _require(
            self.max_answer_tokens >= 1,
            f"--max-answer-tokens must be 1 or more, not {self.max_answer_tokens}",
        )
        _require(
            0 < self.temperature < math.inf,
            f"--temperature must be above 0, not {self.temperature}",
            "use --greedy instead",
        )
        _require(self.top_k >= 1, f"--top-k must be 1 or more, not {self.top_k}")
        _require(0 < self.top_p <= 1, f"--top-p must be in (0, 1], not {self.top_p}")
        _require(
            self.repetition_penalty > 0,
            f"--repetition-penalty must be above 0, not {self.repetition_penalty}",
        )


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Settings of one stream, checked when made.

    Args:
        fps: frames per second shown to the model; ``fps * step_seconds`` is an even whole number.
        step_seconds: seconds per turn.
        sink: tokens of "previous text" kept at its head (S).
        text_window: tokens of "previous text" kept at its tail (T).
        vision_window: seconds whose frames are kept (V); a multiple of ``step_seconds``.
        rounds: last turns whose words stay in place (R).
        positions: ``growing`` never moves a token, so that positions leave the range of training; for
            showing that contiguous ones are needed. ``recompute`` is always contiguous.
        restart_seconds: ``window`` policy only: start afresh this often.
        start: first second of the source; duration: seconds from there, None for all.
        on_lag: at realtime pace, when the model is late: leave seconds out as soon as it is two seconds or a
            step behind, or let it be up to half a minute behind before.
        drop_static: leave out vision tokens whose pixels differ by no more than this many grey levels (0 to
            255, mean) from when their place was last shown; None leaves nothing out.
        min_pixels, max_pixels: per frame, None for the model family's own limits.
        prompt_format: how turns are written; see ``PromptFormat``.
        pictures, deinterlace, reader: see ``Viewing``.

    Raises:
        UsageError: a value outside its limits.
    """

    fps: float = 2.0
    step_seconds: float = 1.0
    policy: Policy = Policy.STREAMING
    restart_seconds: float = 100.0
    sink: int = 512
    text_window: int = 512
    vision_window: float = 16.0
    rounds: int = 16
    positions: Positions = Positions.CONTIGUOUS
    query: str = "Commentate on this match"
    title: str = ""
    previous_text: str = ""
    prompt_format: PromptFormat = field(default=PromptFormat.AUTO, repr=False)
    sampling: Sampling = field(default_factory=Sampling)
    start: float = 0.0
    duration: float | None = None
    pace: Pace = Pace.MAX
    on_lag: OnLag = OnLag.DROP
    min_pixels: int | None = None
    max_pixels: int | None = None
    drop_static: float | None = None
    # Not in ``repr``, which names stored results of speed: ``changes`` of bench stands beside it there.
    pictures: PictureStyle = field(default=PictureStyle.DISPLAY, repr=False)
    deinterlace: Deinterlace = field(default=Deinterlace.AUTO, repr=False)
    reader: Reader = field(default=Reader.AUTO, repr=False)

    def __post_init__(self) -> None:
        for name in ("pictures", "deinterlace", "reader"):
            object.__setattr__(self, name, getattr(self.viewing, name))
        object.__setattr__(self, "policy", Policy(self.policy))
        object.__setattr__(self, "prompt_format", PromptFormat(self.prompt_format))
        object.__setattr__(self, "pace", Pace(self.pace))
        object.__setattr__(self, "on_lag", OnLag(self.on_lag))
        object.__setattr__(self, "positions", Positions(self.positions))
        _require(
            self.policy is not Policy.RECOMPUTE or self.positions is Positions.CONTIGUOUS,
            "--policy recompute computes every position anew: --positions growing does not go with it",
        )
        _require(
            MIN_STEP_SECONDS <= self.step_seconds < math.inf,
            f"--step-seconds must be {MIN_STEP_SECONDS:g} or more, not {self.step_seconds:g}",
        )
        _require(0 < self.fps < math.inf, f"--fps must be above 0, not {self.fps:g}")
        frames = whole(self.fps * self.step_seconds)
        _require(
            frames is not None and frames >= 2 and frames % 2 == 0,
            f"--fps {self.fps:g} times --step-seconds {self.step_seconds:g} must be an even whole number",
            "two frames make one temporal patch; try --fps 2 or --fps 8",
        )
        _require(self.sink >= 0, f"--sink must be 0 or more, not {self.sink}")
        _require(self.text_window >= 0, f"--text-window must be 0 or more, not {self.text_window}")
        _require(self.rounds >= 1, f"--rounds must be 1 or more, not {self.rounds}")
        turns = whole(self.vision_window / self.step_seconds)
        _require(
            turns is not None and turns >= 1,
            f"--vision-window must be a multiple of --step-seconds ({self.step_seconds:g}) "
            f"and at least one step, not {self.vision_window:g}",
        )
        restarts = whole(self.restart_seconds / self.step_seconds)
        _require(
            self.policy is not Policy.WINDOW or (restarts is not None and restarts >= 1),
            f"--restart-seconds must be a multiple of --step-seconds ({self.step_seconds:g}), "
            f"not {self.restart_seconds:g}",
        )
        _require(0 <= self.start < math.inf, f"--start must be 0 or more, not {self.start:g}")
        _require(
            self.duration is None or 0 < self.duration < math.inf,
            f"--duration must be above 0, not {self.duration}",
        )
        _require(
            self.drop_static is None or 0 <= self.drop_static < math.inf,
            f"--drop-static must be 0 or more grey levels, not {self.drop_static}",
        )
        _require(
            self.min_pixels is None or 1 <= self.min_pixels <= MOST_PIXELS,
            f"--min-pixels must be from 1 to {MOST_PIXELS}",
        )
        _require(
            self.max_pixels is None or self.max_pixels >= (self.min_pixels or 1),
            f"--max-pixels {self.max_pixels} must not be below --min-pixels {self.min_pixels or 1}",
        )

    @property
    def viewing(self) -> Viewing:
        """How pictures are read and shown."""
        return Viewing(self.pictures, self.deinterlace, self.reader)

    @property
    def frames_per_step(self) -> int:
        """Frames of one clip."""
        return round(self.fps * self.step_seconds)

    @property
    def vision_turns(self) -> int:
        """V in turns, the turn about to be written included."""
        return round(self.vision_window / self.step_seconds)

    @property
    def restart_turns(self) -> int:
        """Turns between restarts of the ``window`` policy."""
        return round(self.restart_seconds / self.step_seconds)

    @property
    def opening_text(self) -> str:
        """Title and previous text, joined by a blank: what "previous text" first holds."""
        return " ".join(part for part in (self.title, self.previous_text) if part)
