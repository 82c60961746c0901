"""LiveCC's prompt as it was trained (showlab/livecc), for streaming and training alike.

No "previous text": title and earlier words stand in the query of the first turn, which shows three seconds;
frames are smaller and answers shorter than StreamingVLM's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from svlm_cli.documents import MalformedError
from svlm_cli.errors import UsageError
from svlm_cli.settings import PromptFormat, whole

if TYPE_CHECKING:  # torch is not needed to know what LiveCC is
    from svlm_cli.model.patches import PatchSettings
    from svlm_cli.model.prompt import Part, PromptWriter
    from svlm_cli.model.window import TokenRange

# An id, which the hub takes in any case, a folder of that name, or where the hub's cache keeps it.
NAME = re.compile(r"(^|/|--)LiveCC-7B-(Base|Instruct)(/snapshots/[0-9a-f]+)?/?$", re.IGNORECASE)
FIRST_SECONDS = 3.0
MAX_PIXELS = 384 * 28 * 28
MAX_NEW_TOKENS = 16
FORMAT_KEY = "prompt_format"


def chosen_format(asked: PromptFormat, name: str, trained: PromptFormat | None = None) -> PromptFormat:
    """The format that is meant where a user leaves it open: the one trained on, else by the model's name.

    Args:
        asked: the format that the user asked for.
        name: a Hugging Face id or folder.
        trained: the one that a checkpoint says it was trained on, None where it does not.
    """
    if asked is not PromptFormat.AUTO:
        return asked
    return trained or (PromptFormat.LIVECC if NAME.search(name) else PromptFormat.SVLM)


def format_of(trained: Mapping[str, Any]) -> PromptFormat | None:
    """The format that a checkpoint records beside its pixel limits, None where it does not.

    Raises:
        MalformedError: it names none.
    """
    said = trained.get(FORMAT_KEY)
    if said is None:
        return None
    if said not in (PromptFormat.SVLM, PromptFormat.LIVECC):
        raise MalformedError(f"{FORMAT_KEY} is neither svlm nor livecc: {said!r}")
    return PromptFormat(said)


def check_livecc(patches: PatchSettings) -> None:
    """Refuse LiveCC's format for models that could not read it.

    Raises:
        UsageError: their frames have one size.
    """
    if patches.square is not None:
        raise UsageError("LiveCC's prompt is written for the Qwen-VL families", "take prompt format svlm")


def opened(
    writer: PromptWriter,
    told: str,
    query: str,
    prompt_format: PromptFormat,
    kept: Sequence[TokenRange] | None = None,
) -> tuple[list[Part], str]:
    """What stands before the first turn, and what that turn asks.

    Args:
        writer: the writer of prompts.
        told: title, context, earlier commentary; may be empty.
        query: what is asked; may be empty.
        prompt_format: not ``auto``.
        kept: ranges of the tokens of ``told`` that a "previous text" holds, None for all.
    """
    if prompt_format is PromptFormat.LIVECC:
        return writer.opening("")[:1], "\n".join(filter(None, (told, query)))
    return writer.opening(told, kept), query


def steps_of_first_turn(prompt_format: PromptFormat, step_seconds: float) -> int:
    """How many steps the first turn shows at once."""
    num = whole(FIRST_SECONDS / step_seconds) if prompt_format is PromptFormat.LIVECC else 1
    return num or 1
