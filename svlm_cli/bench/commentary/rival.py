"""A rival behind an OpenAI-compatible address: shown frames, asked for words or for an answer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from svlm_cli.bench.api.options import ApiOptions, make_plan
from svlm_cli.bench.api.pictures import picture_tokens, shown_size, user_message
from svlm_cli.bench.api.pool import Work
from svlm_cli.bench.api.prices import PICTURE_TOKENS, CallPlan, text_tokens
from svlm_cli.bench.commentary.pieces import Piece, Said, Shape, line_key
from svlm_cli.bench.common.events import WorkEvent
from svlm_cli.bench.common.results import RESULTS_NAME, RunFacts
from svlm_cli.bench.common.work import present, record_key, work_key
from svlm_cli.chat import Chat, Reply
from svlm_cli.types import WarningEvent

MOST_PREVIOUS_LETTERS = 8000


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

    def plan(self) -> CallPlan:
        """What is left to ask; nothing is sent and nothing written."""
        from svlm_cli.media.file.reader import open_video

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
        from svlm_cli.media.file.reader import open_video

        options = self._options
        with open_video(piece.video) as reader:
            frames = reader.frames_at(_times(piece, options.fps))
        return chat.ask([user_message(_prompt(piece, options), frames, options.height)])

    def _record(self, piece: Piece, reply: Reply) -> dict[str, object]:
        said = Said(piece.start_seconds, piece.end_seconds, " ".join(reply.text.split()))
        return {
            **piece.labels,
            "run": self._name,
            "fingerprint": work_key(self._options.identity()),
            "facts": RunFacts(self._options.columns(), self._protocol).to_json(),
            **self._shape(piece, [said]),
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "key": self._key(piece),
        }


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
