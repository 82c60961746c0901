"""Weights that are not finite never end in silence: an error, or the words of the whole model.

Numbers are put into random places of random tensors: of the file (found as it is opened) and of the network
in memory, behind that check, as an overflow would put them among activations.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from svlm_cli import Policy, Sampling, StreamSession, StreamSettings, load_model, open_source
from svlm_cli.errors import ModelError
from svlm_cli.model.hooks.fixed_words import WordForward
from svlm_cli.model.lean.network import LeanNetwork
from svlm_cli.model.load import BUNDLED
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.types import Clip

NUMBERS = (float("nan"), float("inf"), -float("inf"))
BFLOAT16_NUMBERS = (b"\xc0\x7f", b"\x80\x7f", b"\x80\xff")
FORMATS = {
    "float32": {"dtype": "float32"},
    "packed": {"dtype": "bfloat16", "packed": True},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8"},
    "fixed": {"dtype": "float32"},
}
NUM_STEPS = 3
SETTINGS = StreamSettings(vision_window=2, rounds=2, sink=16, text_window=16, restart_seconds=2.0)


@pytest.fixture(scope="module")
def shown() -> list[Clip]:
    with open_source("arena:soccer,seed=3,minutes=10") as source:
        return list(source.clips(2.0, 1.0, 60.0, float(NUM_STEPS)))


class Models:
    """The bundled model in every format, each opened when it is first asked for; and what it says."""

    def __init__(self, shown: list[Clip]) -> None:
        self._shown = shown
        self._models: dict[str, VideoLanguageModel] = {}
        self._words: dict[tuple[str, StreamSettings], list[str]] = {}

    def of(self, kind: str) -> VideoLanguageModel:
        if kind not in self._models:
            model = load_model(device="cpu", **FORMATS[kind])
            if kind == "fixed":
                own = {item.name: getattr(model, item.name) for item in fields(VideoLanguageModel)}
                forward = WordForward(model.network, compiled=False, graphs=False)
                model = VideoLanguageModel(**(own | {"word_forward": forward}))
            self._models[kind] = model
        return self._models[kind]

    def say(self, kind: str, settings: StreamSettings) -> list[str]:
        session = StreamSession(self.of(kind), settings)
        return [session.step(clip).text for clip in self._shown]

    def outcome(self, kind: str, settings: StreamSettings) -> list[str] | str:
        """The words, or the error."""
        try:
            return self.say(kind, settings)
        except ModelError as error:
            return error.message

    def undamaged(self, kind: str, settings: StreamSettings) -> list[str]:
        key = kind, settings
        if key not in self._words:
            self._words[key] = self.say(kind, settings)
        return self._words[key]


@pytest.fixture(scope="module")
def models(shown: list[Clip]) -> Iterator[Models]:
    """With one thread: many short streams, among which several threads would mostly wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Models(shown)
    torch.set_num_threads(threads)


@contextmanager
def one_wrong(tensor: torch.Tensor, place: int, number: float) -> Iterator[None]:
    flat = tensor.detach().view(-1)
    kept = flat[place].clone()
    flat[place] = number
    try:
        yield
    finally:
        flat[place] = kept


def floating(model: VideoLanguageModel) -> dict[str, torch.Tensor]:
    """All that can hold such a number: weights, and the scales of int8."""
    if isinstance(model.network, LeanNetwork):  # what it holds as it is: norms, biases, scales
        return {name: tensor for name, tensor in model.network.state_dict().items() if tensor.ndim == 1}
    held = dict(model.network.named_parameters()) | {
        name: buffer for name, buffer in model.network.named_buffers() if name.endswith("scales")
    }
    return {name: tensor for name, tensor in held.items() if tensor.is_floating_point()}


def test_streams_end_with_an_error_or_say_what_the_whole_model_says(models, cases, tally) -> None:
    outcomes: Counter[str] = Counter()
    chosen = cases(8, 240)
    for number in chosen:
        rng = random.Random(number)
        kind = list(FORMATS)[number % len(FORMATS)]
        sampling = Sampling(greedy=rng.random() < 0.5, seed=number % 3)
        settings = replace(SETTINGS, sampling=sampling, policy=rng.choice(list(Policy)))
        expected = models.undamaged(kind, settings)
        name, tensor = rng.choice(list(floating(models.of(kind)).items()))
        wrong, place = rng.choice(NUMBERS), rng.randrange(tensor.numel())
        with one_wrong(tensor, place, wrong):
            came_of_it = models.outcome(kind, settings)
        is_told = isinstance(came_of_it, str) and "not finite at 6" in came_of_it
        assert is_told or came_of_it == expected, (number, kind, settings.policy, name, place, wrong)
        outcomes["told" if is_told else "same words"] += 1
    assert outcomes["told"] > len(chosen) / 2, outcomes
    tally("a model with a number that is not finite says so, or says what it would have said", len(chosen))


def test_damaged_files_are_refused_and_name_the_tensor(tmp_path: Path, cases, tally) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder)
    file = folder / "model.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = {name: entry for name, entry in json.loads(content[8 : 8 + length]).items() if "dtype" in entry}
    assert {entry["dtype"] for entry in header.values()} == {"BF16"}
    chosen = cases(2, 60)
    for number in chosen:
        rng = random.Random(number)
        name, entry = rng.choice(sorted(header.items()))
        begin, end = entry["data_offsets"]
        at = 8 + length + begin + 2 * rng.randrange((end - begin) // 2)
        file.write_bytes(content[:at] + rng.choice(BFLOAT16_NUMBERS) + content[at + 2 :])
        how = rng.choice([{}, {"dtype": "bfloat16"}, {"quantize": "int8"}])
        with pytest.raises(ModelError, match="are damaged: 1 of") as caught:
            load_model(str(folder), device="cpu", **how)
        assert caught.value.message.endswith(name.removeprefix("model.")), name
    tally("a checkpoint with a number that is not finite is refused", len(chosen))
