"""How the families write a conversation: plain text with special tokens in it by name, one value each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"


def _qwens_ids() -> Mapping[str, str]:
    return MappingProxyType(
        {
            "video_token_id": VIDEO_PAD,
            "image_token_id": IMAGE_PAD,
            "vision_start_token_id": VISION_START,
            "vision_end_token_id": VISION_END,
        }
    )


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family writes; the defaults are Qwen-VL's.

    Args:
        opening: stands before everything.
        head: begins a part of a role: ``{role}``, or ``{Role}`` with a capital.
        answer_head: begins the answer.
        turn_start: the special token in ``opening`` or ``head``.
        turn_end: ends a part; a line break follows.
        block_start, block_end: stand around the pads of a vision block.
        pad: stands for one row of features.
        num_closing: pads behind the frames of a clip that are of no frame.
        stamp: stands before a block that is of one temporal patch alone: ``{seconds}`` is its time,
            ``{minutes}`` and ``{rest}`` the same in whole minutes and seconds, ``{number}`` counts those of a
            turn from 1.
        between: stands between such blocks of one turn.
        after_time: stands between the time of a turn and its frames.
        before_query: stands between the frames and what is asked.
        config_ids: names in a configuration of transformers, with the tokens whose ids they hold.
    """

    opening: str = ""
    head: str = TURN_START + "{role}\n"
    answer_head: str = f"{TURN_START}assistant\n"
    turn_start: str = TURN_START
    turn_end: str = TURN_END
    block_start: str = VISION_START
    block_end: str = VISION_END
    pad: str = VIDEO_PAD
    num_closing: int = 0
    stamp: str = "<{seconds:.1f} seconds>"
    between: str = ""
    after_time: str = ""
    before_query: str = ""
    config_ids: Mapping[str, str] = field(default_factory=_qwens_ids, repr=False)

    def header(self, role: str) -> str:
        """The beginning of a part of a role."""
        return self.head.format(role=role, Role=role.capitalize())

    def stamp_text(self, seconds: float, number: int) -> str:
        """The label of a vision block; the first of a turn is number 1."""
        minutes, rest = divmod(int(seconds), 60)
        text = self.stamp.format(seconds=seconds, minutes=minutes, rest=rest, number=number)
        return text if number == 1 else self.between + text


QWEN = Dialect()
# transformers' SmolVLMProcessor; its labels are whole seconds.
SMOLVLM = Dialect(
    opening=TURN_START,
    head="{Role}: ",
    answer_head="Assistant:",
    turn_end="<end_of_utterance>",
    block_start="<fake_token_around_image><global-img>",
    block_end="<fake_token_around_image>",
    pad="<image>",
    stamp="\nFrame from {minutes:02d}:{rest:02d}:",
    before_query="\n\n",
    config_ids=MappingProxyType({"image_token_id": "<image>"}),
)
# transformers' InternVLProcessor.
INTERNVL = Dialect(
    block_start="<img>",
    block_end="</img>",
    pad="<IMG_CONTEXT>",
    stamp="Frame{number}: ",
    between="\n",
    after_time="\n",
    before_query="\n",
    config_ids=MappingProxyType({"image_token_id": "<IMG_CONTEXT>"}),
)
# transformers' LlavaOnevisionProcessor; the learned line break behind a video has a pad of its own.
LLAVA_ONEVISION = Dialect(
    block_start="",
    block_end="",
    pad="<video>",
    num_closing=1,
    after_time="\n",
    before_query="\n",
    config_ids=MappingProxyType({"image_token_index": "<image>", "video_token_index": "<video>"}),
)
