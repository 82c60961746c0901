"""``svlm`` with a pretended engine: the real command line, in its own process, over events made up here.

The source says what happens: ``fake:steps=3,pause=0.1,silent=2,fail=1,hang=1,warn=1,lag=3,skip=2,live=1``. A
question is answered by its own words. Run as a script.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from svlm_cli.__main__ import main
from svlm_cli.cli import run
from svlm_cli.commands.engine import Engine
from svlm_cli.errors import ModelError, SourceError
from svlm_cli.settings import StreamSettings
from svlm_cli.stream.controls import Controls
from svlm_cli.types import (
    AnswerEvent,
    Clip,
    EndEvent,
    StartEvent,
    StepEvent,
    StepTimings,
    StreamEvent,
    WarningEvent,
)

WORDS = os.environ.get("FAKE_WORDS", "goal <b>& more</b> [red]now[/red]")


@dataclass(frozen=True)
class FakeModel:
    name: str
    is_bundled: bool
    word_forward: None = None


@dataclass(frozen=True)
class FakeTrace:
    step: int
    context_ids: list[int]


@dataclass(frozen=True)
class FakeSource:
    name: str
    plan: dict[str, float]

    @property
    def is_live(self) -> bool:
        return "live" in self.plan


class FakeEngine(Engine):
    def load_model(self, name: str | None, **_: object) -> FakeModel:
        if name == "missing":
            raise ModelError("no such model: missing", "name another")
        if name == "broken":
            raise RuntimeError("first line\nsecond line")
        return FakeModel(name or "arena", is_bundled=name is None)

    @contextmanager
    def open_source(self, source: str, _live: object, _viewing: object) -> Iterator[FakeSource]:
        if not source.startswith("fake:"):
            raise SourceError(f"no such file: {source}", "check the path")
        pairs = (part.split("=") for part in source.removeprefix("fake:").split(",") if part)
        yield FakeSource(source, {key: float(value) for key, value in pairs})

    def stream_video(
        self, model: FakeModel, source: FakeSource, settings: StreamSettings, trace, controls: Controls
    ) -> Iterator[StreamEvent]:
        return events(model, source, settings, trace, controls)


def events(
    model: FakeModel, source: FakeSource, settings: StreamSettings, trace, controls: Controls
) -> Iterator[StreamEvent]:
    plan = source.plan
    chosen = asdict(settings)
    sampling = chosen.pop("sampling")
    yield StartEvent("0", "fake", model.name, "cpu", "float32", chosen | sampling)
    num_steps = 0
    while num_steps < int(plan.get("steps", 3)) and not controls.stop.wait(plan.get("pause", 0)):
        index, num_steps = num_steps, num_steps + 1
        if index == plan.get("fail"):
            raise ValueError("it broke")
        if index == plan.get("hang"):
            time.sleep(60)
        if index == plan.get("warn"):
            yield WarningEvent("a frame was skipped")
        text = "" if index == plan.get("silent") else WORDS
        if trace:
            trace(FakeTrace(index, [1, 2, 3]))
        if controls.watch:
            pixels = np.full((2, 90, 160, 3), index % 256, dtype=np.uint8)
            controls.watch(Clip(index, float(index), index + 1.0, pixels))
        if question := controls.questions.take(index + 1.0):
            yield AnswerEvent(index, float(index), index + 1.0, question, question.upper(), 3)
        yield StepEvent(
            index, float(index), index + 1.0, text, 2, 7, 812, 598, 100, plan.get("lag", 0.0),
            plan.get("skip", 0.0) if index == 1 else 0.0, StepTimings(total=0.25),
        )  # fmt: skip
    yield EndEvent(num_steps, float(num_steps), 1.0, num_steps, 0.25, 0.3, 0.4, 10**9, 0)


if __name__ == "__main__":
    main(partial(run, engine=FakeEngine()))
