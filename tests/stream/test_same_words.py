"""Every optimisation keeps the words: greedy output against the plain path, transformers' own forward."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import transformers

from svlm_cli import Sampling, StreamSession, StreamSettings, load_model, open_source
from svlm_cli.model.hooks.cache import cache_of
from svlm_cli.model.load import BUNDLED
from svlm_cli.model.runtime import VideoLanguageModel
from svlm_cli.model.vision.frames import VideoFeatures

STREAM = StreamSettings(vision_window=8, rounds=8, sink=24, text_window=24, sampling=Sampling(greedy=True))


class PlainModel(VideoLanguageModel):
    """The whole network called as transformers calls it, the head on every row."""

    def encode_video(self, patches) -> VideoFeatures:
        grid = torch.tensor([patches.grid_thw])
        with torch.inference_mode():
            features = self.network.get_video_features(patches.pixel_values, grid).pooler_output[0]
        time, height, width = patches.grid_thw
        merge = self.patches.merge_size
        return VideoFeatures(features, (time, height // merge, width // merge))

    def forward(self, embeddings, positions, cache, deep=None) -> torch.Tensor:
        with torch.inference_mode():
            output = self.network(
                inputs_embeds=embeddings[None],
                position_ids=torch.from_numpy(positions).float()[:, None],
                past_key_values=cache_of(cache.layers),
                use_cache=True,
            )
        return output.logits[0, -1]


def plain(folder: Path, attention: str) -> PlainModel:
    """Opened by transformers alone."""
    opened = load_model(str(folder), device="cpu")
    network = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention
    ).eval()
    own = {item.name: getattr(opened, item.name) for item in fields(VideoLanguageModel)}
    return PlainModel(**(own | {"network": network}))


def words(model: VideoLanguageModel, options: StreamSettings, num_steps: int) -> list[str]:
    """What is said in each second of a match that no model was trained on."""
    with open_source("arena:soccer,seed=3,minutes=10") as source:
        session = StreamSession(model, replace(options, previous_text=source.opening_text(0.0)))
        shown = source.clips(options.fps, options.step_seconds, 0.0, float(num_steps))
        return [session.step(clip).text for clip in shown]


@pytest.mark.parametrize(("attention", "packed"), [("eager", False), ("sdpa", True)])
def test_the_words_of_the_plain_path(attention, packed):
    check(attention, 40, packed=packed)


@pytest.mark.slow
def test_the_words_of_the_plain_path_over_200_steps():
    check("eager", 200)
    check("sdpa", 200, packed=True)


def check(attention: str, num_steps: int, **ours: bool) -> None:
    said = words(load_model(str(BUNDLED), device="cpu", **ours), STREAM, num_steps)
    assert said == words(plain(BUNDLED, attention), STREAM, num_steps)
    assert len(set(said)) >= 5, "a stream that says one thing shows nothing"
