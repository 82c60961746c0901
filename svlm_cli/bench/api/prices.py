"""What asking a model at an address will take, before anything is sent: calls, tokens, dollars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# Dollars per million tokens, in and out: OpenAI's list prices of October 2025.
LIST_PRICES: Mapping[str, tuple[float, float]] = {
    "gpt-5": (1.25, 10.0),
    "gpt-5-mini": (0.25, 2.0),
    "gpt-5-nano": (0.05, 0.4),
    "gpt-4o": (2.5, 10.0),
    "gpt-4o-2024-08-06": (2.5, 10.0),
    "gpt-4o-mini": (0.15, 0.6),
}
# Tokens of a picture: base and per tile. gpt-4o-mini counts more tokens at a lower price.
PICTURE_TOKENS: Mapping[str, tuple[int, int]] = {"gpt-4o-mini": (2833, 5667)}
BYTES_PER_TOKEN = 4.0


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What is about to be asked.

    Args:
        model: the model's name at the address.
        address: as it may be shown.
        num_calls: questions that are not answered yet.
        num_stored: questions whose answers are stored.
        prompt_tokens: the prompt tokens of all calls, estimated.
        completion_tokens: likewise.
        dollars: None where the price is not known.
    """

    model: str
    address: str
    num_calls: int
    num_stored: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "model": self.model,
            "address": self.address,
            "calls": self.num_calls,
            "stored": self.num_stored,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "dollars": None if self.dollars is None else round(self.dollars, 4),
        }

    def text(self) -> str:
        """A sentence."""
        price = "price unknown: give --price" if self.dollars is None else f"about ${self.dollars:.2f}"
        return (
            f"{self.num_calls} calls of {self.model} at {self.address} ({self.num_stored} are stored): "
            f"about {self.prompt_tokens:,} tokens in, {self.completion_tokens:,} out, {price}"
        )


def price_of(model: str, given: tuple[float, float] | None) -> Price | None:
    """The given price, else the list price, else None."""
    known = given or LIST_PRICES.get(model)
    return None if known is None else Price(*known)


def text_tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its bytes."""
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)
