"""A pretended model that says the narrator's own lines, but for what the run takes away.

Its faults: without a sink it names another referee, with a text window of 0 it swaps every score, from blank
frames it says nothing, and under the policy ``window`` it names the wrong teams after the first restart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import torch

from svlm_cli.__main__ import main
from svlm_cli.arena.address import parse_address
from svlm_cli.arena.moments import Kind
from svlm_cli.arena.narrate import line_of, parse_line
from svlm_cli.arena.setup import draw_setup
from svlm_cli.arena.truth import opening_text, truth
from svlm_cli.model.family.markup import Markup
from svlm_cli.settings import StreamSettings
from svlm_cli.types import EndEvent, StartEvent, StepEvent, StreamEvent


class FakeTokenizer:
    unk_token_id = None

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> list[int]:
        return list(range(len(text.split())))


@dataclass(frozen=True)
class FakeModel:
    name: str
    is_bundled: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    patches: object = None
    tokenizer: FakeTokenizer = field(default_factory=FakeTokenizer)
    markup: Markup = field(default_factory=lambda: Markup(1, 2, 3, 4, 5, 6))
    tokens_per_second: float = 2.0
    adapter: str | None = None
    quantize: str = "none"
    prompt_format: None = None
    kv_dtype: torch.dtype = torch.float32

    def fingerprint(self) -> str:
        return self.name


def load_model(name: str | None = None, **_: object) -> FakeModel:
    return FakeModel(name or "narrator")


def words(line: str, second: int, source: str, settings: StreamSettings) -> str:
    teams = draw_setup("soccer", parse_address(source).seed).names
    spoken = []
    for event in parse_line(line):
        if settings.sink == 0 and event.kind is Kind.CARD:
            event = replace(event, referee="Rossi" if event.referee != "Rossi" else "Silva")
        if settings.text_window == 0 and event.score:
            event = replace(event, score=event.score[::-1])
        if settings.policy == "window" and second >= settings.restart_seconds and event.team:
            event = replace(event, team=teams[event.team == teams[0]])
        spoken.append(line_of(event))
    return " ".join(spoken)


def stream_video(
    _model: FakeModel, source, settings: StreamSettings, *, pause: float = 0.0, **_: object
) -> Iterator[StreamEvent]:
    address = parse_address(source.name)
    assert settings.previous_text == opening_text(address)
    yield StartEvent("0", source.name, "narrator", "cpu", "float32")
    is_blank = type(source).__name__ == "_Altered"
    for record in truth(address):
        time.sleep(pause)
        text = "" if is_blank else words(record.line, record.second, source.name, settings)
        yield StepEvent(record.second, record.second, record.second + 1.0, text, 2, 1, 1, 1)
    yield EndEvent(record.second + 1, record.second + 1.0, 0.5, 120.0, 0.01, 0.02, 0.03, 1, 0)


@contextmanager
def narrating(pause: float = 0.0) -> Iterator[None]:
    """Have this process benchmark the narrator, who takes ``pause`` seconds a step."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("svlm_cli.stream.loop.stream_video", partial(stream_video, pause=pause))
        patched.setattr("svlm_cli.model.load.load_model", load_model)
        yield


def run_slowly(arguments: Sequence[str]) -> None:
    """``svlm`` with these arguments, as the whole of a process."""
    sys.argv[1:] = arguments
    with narrating(pause=0.05):
        main()
