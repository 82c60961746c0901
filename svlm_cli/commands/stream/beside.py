"""Sources, and the options of what goes on beside a stream: held sources, questions, page, files, states."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svlm_cli.commands.options import OUTPUT_PANEL, choices, finite, not_nan, option
from svlm_cli.commands.stream.options import ASKING_PANEL, SOURCE_PANEL, STATE_PANEL, WORDS
from svlm_cli.media.address import LiveOptions, RtspTransport
from svlm_cli.stream.outputs.cues import CueStyle

if TYPE_CHECKING:
    from svlm_cli.stream.outputs.writers import Writers

LIVE = LiveOptions()
AUTO = Path("auto")
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="A video file; an address (HTTP, HLS, RTSP, RTMP, UDP) or a page that yt-dlp knows; "
        "camera:0 or /dev/video0; - for standard input; "
        "push: for pictures sent to the page of --serve; a synthetic match: arena:soccer,seed=7,minutes=10. "
        "Several are channels of one model; @FILE names a YAML file of channels.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Live:
    """How a live source is opened and held."""

    rtsp_transport: Annotated[
        RtspTransport,
        option(
            SOURCE_PANEL,
            f"--rtsp-transport {choices(RtspTransport)}",
            "Transport protocol of an RTSP source.",
        ),
    ] = LIVE.rtsp_transport
    stall_seconds: Annotated[
        float,
        option(
            SOURCE_PANEL,
            "--stall-seconds SECONDS",
            "Seconds without a frame after which a live source counts as lost.",
            callback=finite,
        ),
    ] = LIVE.stall_seconds
    reconnect_seconds: Annotated[
        float | None,
        option(
            SOURCE_PANEL,
            "--reconnect-seconds SECONDS|inf",
            "Seconds to go on trying to reach a live source that is lost, or is not there yet; 0 for not at "
            "all, inf for ever.",
            callback=not_nan,
            show_default=f"{LIVE.reconnect_seconds:g} for a lost one, 0 for one that is not there yet",
        ),
    ] = None
    max_height: Annotated[
        int,
        option(
            SOURCE_PANEL,
            "--max-height PIXELS",
            "Greatest height of the video where a page or a playlist offers several.",
            min=1,
        ),
    ] = LIVE.max_height

    def options(self, *, waits: bool) -> LiveOptions:
        """How a source is opened and held.

        Args:
            waits: whether to wait for a source that is not there yet, where that was asked for.

        Raises:
            UsageError: a value outside its limits.
        """
        chosen = asdict(self)
        if chosen.pop("reconnect_seconds") is None:
            return LiveOptions(**chosen)
        patience = {"reconnect_seconds": self.reconnect_seconds, "opening_seconds": 0.0}
        return LiveOptions(
            **chosen | patience | ({"opening_seconds": self.reconnect_seconds} if waits else {})
        )


@dataclass(frozen=True, slots=True)
class Asking:
    """Questions and the page."""

    ask: Annotated[
        bool,
        option(ASKING_PANEL, "--ask", "Type questions on standard input while the stream runs, one a line."),
    ] = False
    ask_file: Annotated[
        Path | None,
        option(
            ASKING_PANEL,
            "--ask-file FILE",
            'File of questions, one a line: the second at which to ask, then the question, e.g. "12.0 '
            'Who scored?"',
            show_default="none",
        ),
    ] = None
    max_answer_tokens: Annotated[
        int,
        option(
            ASKING_PANEL, "--max-answer-tokens TOKENS", "Limit on the tokens of the answer to a question."
        ),
    ] = WORDS.max_answer_tokens
    serve: Annotated[
        str | None,
        option(
            ASKING_PANEL,
            "--serve HOST:PORT",
            "Show picture, words, speed and an ask box on a web page. Off loopback the page asks for a "
            "token, which is printed, or taken from SVLM_PAGE_TOKEN.",
            show_default="none; HOST 127.0.0.1",
        ),
    ] = None
    cors: Annotated[
        list[str] | None,
        option(
            ASKING_PANEL,
            "--cors ORIGIN",
            "Let web pages of this origin (https://studio.example; * for all) use the API of --serve; repeat "
            "for several.",
            show_default="none",
        ),
    ] = None
    max_channels: Annotated[
        int | None,
        option(
            ASKING_PANEL,
            "--max-channels COUNT",
            "Let whoever may see the page of --serve add and remove channels: at most so many run at once. "
            "For push: also how many may send.",
            show_default="none are added; 4 for push:",
            min=1,
            max=256,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a stream writes, to be read or to go on from."""

    out: Annotated[
        list[Path] | None,
        option(
            OUTPUT_PANEL,
            "--out -o FILE",
            "Write captions (.vtt, .srt, .ttml, a playlist for players, .m3u8), events (.jsonl), the words "
            "spoken (.wav) or pictures with captions (.mp4) as the stream goes; repeat for several.",
            show_default="none",
        ),
    ] = None
    cues: Annotated[
        CueStyle,
        option(
            OUTPUT_PANEL,
            f"--cues {choices(CueStyle)}",
            "reading: captions stay until the next words or as long as they take to read (1.2 to 7 seconds), "
            "words of one sentence together; second: one for each step.",
        ),
    ] = CueStyle.READING
    voice: Annotated[
        str | None,
        option(
            OUTPUT_PANEL,
            "--voice NAME",
            "Who speaks the words of a .wav, and of an .mp4: espeak-ng, flite, one of their voices "
            "(flite:rms), or a piper voice (.onnx).",
            show_default="espeak-ng or flite for .wav, none for .mp4",
        ),
    ] = None
    rotate: Annotated[
        str | None,
        option(
            OUTPUT_PANEL,
            "--rotate PERIOD|SIZE",
            "Go on in another file after a period of UTC (30m, 6h, 1d) or a size (500k, 100M, 1G): words.vtt "
            "is the newest, words.0001.vtt the first.",
            show_default="one file",
        ),
    ] = None
    overwrite: Annotated[
        bool,
        option(
            OUTPUT_PANEL,
            "--overwrite",
            "Replace outputs that exist; without this, words.vtt is kept as words.vtt.1. A resumed "
            "stream continues its outputs.",
        ),
    ] = False
    save_state: Annotated[
        Path | None,
        option(
            STATE_PANEL,
            "--save-state FILE",
            "Save the state to this file, so that the stream can be resumed.",
            show_default="none",
        ),
    ] = None
    save_every: Annotated[
        float,
        option(
            STATE_PANEL,
            "--save-every SECONDS",
            "Seconds of wall time between saves of the state, which is also saved at the end.",
            callback=finite,
        ),
    ] = 60.0
    resume: Annotated[
        Path | None,
        option(
            STATE_PANEL,
            "--resume FILE|auto",
            "Resume exactly where the stream of this saved state stopped; outputs of the same names are "
            "continued. auto: from the file of --save-state if it is there, else begin.",
            show_default="none",
        ),
    ] = None
    trace: Annotated[
        Path | None,
        option(
            OUTPUT_PANEL,
            "--trace FILE",
            "Write each step's token and position ids, one JSON line per step, for debugging.",
            show_default="none",
        ),
    ] = None

    @property
    def resumed(self) -> Path | None:
        """The state to go on from, where there is one."""
        if self.resume != AUTO:
            return self.resume
        return self.save_state if self.save_state is not None and self.save_state.is_file() else None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files for words and events."""
        return tuple(self.out or ())

    @property
    def named(self) -> tuple[Path, ...]:
        """Every file that a stream writes or goes on from."""
        return (*self.outputs, *filter(None, (self.trace, self.save_state, self.resume)))

    def writers(self, source: str, *, waits: bool = True) -> Writers:
        """What writes outputs and trace of the stream of a source; ``waits`` as ``Writers`` has it.

        Raises:
            UsageError, OutputError: as ``Writers``; a rotation that is none.
        """
        from svlm_cli.stream.outputs.rotation import FileRotation
        from svlm_cli.stream.outputs.writers import Writers

        return Writers(
            self.outputs,
            self.trace,
            source,
            overwrite=self.overwrite,
            cues=self.cues,
            voice=self.voice,
            rotation=FileRotation.of(self.rotate) if self.rotate else None,
            waits=waits,
        )
