"""A rival behind an OpenAI-compatible address: shown frames, asked for words or for an answer."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from svlm_cli.bench.events import WorkEvent
from svlm_cli.bench.pictures import picture_tokens, shown_size, user_message
from svlm_cli.bench.pieces import RESULTS_NAME, Piece, Said, Shape, digest, line_key, present, record_key
from svlm_cli.bench.pool import Work
from svlm_cli.bench.prices import PICTURE_TOKENS, Plan, price_of, text_tokens
from svlm_cli.data.chat import Chat, Reply, public_address
from svlm_cli.errors import UsageError
from svlm_cli.types import WarningEvent

MOST_PREVIOUS_LETTERS = 8000


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Who is asked, and what it is shown.

    Args:
        model: its name at the address.
        base_url: of the address; None for OpenAI's own.
        workers: questions at once.
        fps: frames per second of a piece.
        height: pixels that frames are made smaller to.
        query: what to do.
        expected_tokens: of a reply, for the estimate.
        price: dollars per million tokens in and out; None for the list price, if it is known.
    """

    model: str
    base_url: str | None = None
    workers: int = 8
    fps: float = 0.25
    height: int = 360
    query: str = "Commentate on this match"
    expected_tokens: int = 400
    price: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 60:
            raise UsageError(f"--fps must be above 0 and at most 60, not {self.fps:g}")

    def identity(self) -> dict[str, object]:
        """Everything that can change a reply."""
        return {
            "api": self.model,
            "address": public_address(self.base_url),
            "fps": self.fps,
            "height": self.height,
            "query": self.query,
        }

    def facts(self) -> dict[str, str]:
        """Columns of its row."""
        return {
            "model": f"{self.model} at {public_address(self.base_url)}",
            "frames": f"{self.fps:g} FPS",
            "resolution": f"{self.height}p",
            "memory": "one piece",
            "decoding": "the address's own",
            "query": " ".join(self.query.split()),
        }


# How the paper's rival was asked: 0.25 FPS, 360p, pieces of 100 s, nothing before; the query is that of the
# public script streaming_vlm/eval/model_compete.
PRESETS: Mapping[str, ApiOptions] = {
    "gpt-4o-mini": ApiOptions("gpt-4o-mini", fps=0.25, height=360, query="Describe the video."),
}


class Rival:
    """Pieces commentated behind an address.

    Args:
        pieces: what to commentate.
        options: who does, and what it is shown.
        name: of the row.
        protocol: as tables show it.
        out: folder of ``results.jsonl``.
        shape: makes the fields of a line from what was said.

    Raises:
        SourceError: no video is there.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        options: ApiOptions,
        name: str,
        protocol: str,
        out: Path,
        shape: Shape,
    ) -> None:
        self._pieces, self._missing = present(pieces, "pieces")
        self._options = options
        self._name = name
        self._protocol = protocol
        self._path = out / RESULTS_NAME
        self._shape = shape

    def plan(self) -> Plan:
        """What is left to ask; nothing is sent and nothing written."""
        from svlm_cli.media.reader import open_video

        left = self._work().left()
        options = self._options
        prompt = 0
        sizes: dict[Path, tuple[int, int]] = {}
        for piece in left:
            if piece.video not in sizes:
                with open_video(piece.video) as reader:
                    sizes[piece.video] = shown_size(reader.info.width, reader.info.height, options.height)
            prompt += text_tokens(_prompt(piece, options)) + picture_tokens(
                [sizes[piece.video]] * len(_times(piece, options.fps)),
                *PICTURE_TOKENS.get(options.model, (85, 170)),
            )
        return make_plan(options, len(left), len(self._pieces) - len(left), prompt)

    def run(self) -> Generator[WorkEvent, None, None]:
        """Ask about every piece that is not there yet.

        Raises:
            NoReplyError: the address cannot be reached; lines so far are kept.
            OutputError: the folder cannot be used.
        """
        if self._missing:
            yield WarningEvent(self._missing)
        own = self._options
        yield from self._work().run(own.model, own.base_url, own.workers)

    def _work(self) -> Work[Piece, Reply]:
        return Work(
            self._options.model,
            "pieces",
            self._path,
            record_key,
            {self._key(piece): piece for piece in self._pieces},
            self._ask,
            self._record,
            lambda piece: piece.place,
        )

    def _key(self, piece: Piece) -> str:
        return line_key(self._options.identity(), piece)

    def _ask(self, chat: Chat, piece: Piece) -> Reply:
        from svlm_cli.media.reader import open_video

        options = self._options
        with open_video(piece.video) as reader:
            frames = reader.frames_at(_times(piece, options.fps))
        return chat.ask([user_message(_prompt(piece, options), frames, options.height)])

    def _record(self, piece: Piece, reply: Reply) -> dict[str, object]:
        said = Said(piece.start_seconds, piece.end_seconds, " ".join(reply.text.split()))
        return {
            **piece.labels,
            "run": self._name,
            "fingerprint": digest(self._options.identity()),
            "facts": self._options.facts() | {"protocol": self._protocol},
            **self._shape(piece, [said]),
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "key": self._key(piece),
        }


def make_plan(options: ApiOptions, num_calls: int, num_stored: int, prompt_tokens: int) -> Plan:
    """The plan of calls to an address."""
    completion = options.expected_tokens * num_calls
    price = price_of(options.model, options.price)
    return Plan(
        options.model,
        public_address(options.base_url),
        num_calls,
        num_stored,
        prompt_tokens,
        completion,
        None if price is None else price.of(prompt_tokens, completion),
    )


def preset(name: str, model: str, base_url: str | None) -> ApiOptions:
    """A preset's settings for a model, which may have another name at its address."""
    return replace(PRESETS[name], model=model, base_url=base_url)


def _times(piece: Piece, fps: float) -> list[float]:
    num = max(1, round((piece.end_seconds - piece.start_seconds) * fps))
    return [piece.start_seconds + number / fps for number in range(num)]


def _prompt(piece: Piece, options: ApiOptions) -> str:
    length = piece.end_seconds - piece.start_seconds
    parts = [options.query.rstrip()]
    if piece.title:
        parts.append(f'The video is titled "{piece.title}".')
    if piece.previous_text:
        parts.append(f"What was said before:\n{piece.previous_text[-MOST_PREVIOUS_LETTERS:]}")
    parts.append(
        f"These are pictures of {length:g} s of it, one every {1 / options.fps:g} s. "
        "Answer with the words to be spoken alone."
    )
    return "\n".join(parts)
