"""Where a cache stood."""

from __future__ import annotations

from dataclasses import dataclass

from svlm_cli.model.states.recurrent import RecurrentStates


@dataclass(frozen=True, slots=True, eq=False)
class CacheMark:
    """Tokens held, and the states of layers that cannot take tokens out again."""

    num_tokens: int
    recurrent: tuple[RecurrentStates | None, ...] = ()
