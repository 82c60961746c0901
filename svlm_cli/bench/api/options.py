"""Who is asked behind an OpenAI-compatible address, and what it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svlm_cli.bench.api.prices import CallPlan, price_of
from svlm_cli.chat import public_address
from svlm_cli.errors import UsageError
from svlm_cli.settings import VIEWING, Viewing


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Who is asked, and what it is shown.

    Args:
        model: its name at the address.
        base_url: the URL of the address; None for OpenAI's own.
        workers: questions at once.
        fps: frames per second of a piece.
        height: pixels that frames are made smaller to.
        query: what to do.
        expected_tokens: how long a reply is expected to be, for the estimate.
        price: dollars per million tokens in and out; None for the list price, if it is known.
        viewing: how videos are read and shown.
    """

    model: str
    base_url: str | None = None
    workers: int = 8
    fps: float = 0.25
    height: int = 360
    query: str = "Commentate on this match"
    expected_tokens: int = 400
    price: tuple[float, float] | None = None
    viewing: Viewing = VIEWING

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
            **self.viewing.changes,
        }

    def columns(self) -> dict[str, str]:
        """Columns of its row."""
        return {
            "model": f"{self.model} at {public_address(self.base_url)}",
            "frames": f"{self.fps:g} FPS",
            "resolution": ", ".join([f"{self.height}p", *self.viewing.changes.values()]),
            "memory": "one piece",
            "decoding": "the address's own",
            "query": " ".join(self.query.split()),
        }


# How the paper's rival was asked: 0.25 FPS, 360p, pieces of 100 s, nothing before; the query is that of the
# public script streaming_vlm/eval/model_compete.
PRESETS: Mapping[str, ApiOptions] = {
    "gpt-4o-mini": ApiOptions("gpt-4o-mini", fps=0.25, height=360, query="Describe the video."),
}


def make_plan(options: ApiOptions, num_calls: int, num_stored: int, prompt_tokens: int) -> CallPlan:
    """The plan of calls to an address."""
    completion = options.expected_tokens * num_calls
    price = price_of(options.model, options.price)
    return CallPlan(
        options.model,
        public_address(options.base_url),
        num_calls,
        num_stored,
        prompt_tokens,
        completion,
        None if price is None else price.of(prompt_tokens, completion),
    )
