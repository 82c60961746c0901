from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svlm_cli.train.inputs import take_samples
from svlm_cli.train.learner import new_patch_settings, new_tokenizer
from svlm_cli.train.loss import token_loss
from svlm_cli.train.vision_cache import VisionCache
from tests.train.small import MODEL, batch_of, dataset, network

PATCHES = new_patch_settings(MODEL, 168 * 112)


def test_cached_features_give_the_loss_of_pixels(tmp_path: Path, windows: Path) -> None:
    model = network(new_tokenizer())

    def loss(features) -> float:
        source = dataset(windows, "fast", features=features)
        batch, labels = batch_of([source[0], source[1]])
        assert ("video_features" in batch) == (features is not None)
        with torch.no_grad():
            return float(token_loss(model(**batch), labels))

    from_pixels = loss(None)
    take_samples(model)
    cache = VisionCache(tmp_path, model, PATCHES)
    assert loss(cache) == pytest.approx(from_pixels, rel=1e-5)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("vision-*/*")}
    assert loss(cache) == pytest.approx(from_pixels, rel=1e-5)
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("vision-*/*")}


def test_another_tower_does_not_read_these_features(tmp_path: Path) -> None:
    model = network(new_tokenizer())
    VisionCache(tmp_path, model, PATCHES)
    with torch.no_grad():
        next(model.model.visual.parameters()).add_(1.0)
    VisionCache(tmp_path, model, PATCHES)
    VisionCache(tmp_path, model, replace(PATCHES, max_pixels=PATCHES.max_pixels * 2))
    assert len(list(tmp_path.glob("vision-*"))) == 3
