"""A rival behind an OpenAI-compatible address: shown frames, asked for words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from svlm_cli.bench.api.options import ApiOptions
from svlm_cli.bench.api.videos import CallForm, VideoCalls
from svlm_cli.bench.commentary.pieces import Piece, Said, Shape, line_key
from svlm_cli.bench.common.results import RESULTS_NAME, RunFacts
from svlm_cli.bench.common.work import work_key
from svlm_cli.chat import Reply

MOST_PREVIOUS_LETTERS = 8000


def rival(
    pieces: Sequence[Piece], options: ApiOptions, name: str, protocol: str, out: Path, shape: Shape
) -> VideoCalls[Piece]:
    """Pieces commentated behind an address.

    Args:
        pieces: what to commentate.
        options: who does, and what it is shown.
        name: the name of the row.
        protocol: as tables show it.
        out: folder of ``results.jsonl``.
        shape: makes the fields of a line from what was said.

    Raises:
        SourceError: no video is there.
    """
    identity = options.identity()

    def record(piece: Piece, reply: Reply) -> dict[str, object]:
        said = Said(piece.start_seconds, piece.end_seconds, " ".join(reply.text.split()))
        return {
            **piece.labels,
            "run": name,
            "fingerprint": work_key(identity),
            "facts": RunFacts(options.columns(), protocol).to_json(),
            **shape(piece, [said]),
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "key": line_key(identity, piece),
        }

    asking = CallForm(
        unit="pieces",
        key=lambda piece: line_key(identity, piece),
        prompt=lambda piece: _prompt(piece, options),
        times=lambda piece, _video: _times(piece, options.fps),
        record=record,
        place=lambda piece: piece.place,
    )
    return VideoCalls(pieces, options, out / RESULTS_NAME, asking)


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
