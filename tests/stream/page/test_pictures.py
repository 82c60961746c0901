"""The pictures of the last seconds, whoever looks on."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svlm_cli.types import Clip
from tests.stream.page.described import described
from tests.stream.served import Served, served, shown


@pytest.mark.parametrize("at", [0, 0.0, 0.4, 0.9999, 1, 1.5])
def test_a_picture_is_that_of_the_step_that_holds_the_second(page: Served, at: float) -> None:
    status, body, _ = page.request("GET", f"/picture?at={at}")
    assert status == 200
    assert Image.open(io.BytesIO(body)).getpixel((80, 45))[0] == pytest.approx(10 if at < 1 else 200, abs=3)
    assert page.request("GET", "/picture")[1] == page.request("GET", "/picture?at=1")[1]


@pytest.mark.parametrize("at", ["2", "-0.1"])
def test_a_picture_that_is_not_kept_is_not_found(page: Served, at: str) -> None:
    status, body, _ = page.request("GET", f"/picture?at={at}")
    assert status == 404
    described("/picture", "get", status, body)


@pytest.mark.parametrize("size", [(90, 160), (720, 1280), (1280, 720)])
def test_the_last_seconds_have_pictures_though_nobody_looks_on(tmp_path: Path, size) -> None:
    order = random.Random(11).sample(range(70, 100), 30)
    with served(tmp_path) as page:
        for index in range(100):
            frames = np.full((2, *size, 3), 2 * index, dtype=np.uint8)
            page.hub.watch(Clip(index, float(index), index + 1.0, frames))
        held = sum(len(each.picture) for each in page.hub.pictures._shown if isinstance(each.picture, bytes))
        assert held == 0  # nothing is encoded before it is asked for
        num_bytes = sum(each.picture.nbytes for each in page.hub.pictures._shown)
        assert num_bytes <= 4 * 3 * size[0] * size[1] + 26 * 3 * 320 * 320
        for index in order:
            status, body, _ = page.request("GET", f"/picture?at={index + 0.5}")
            assert status == 200
            image = Image.open(io.BytesIO(body))
            assert image.getpixel((20, 20))[0] == pytest.approx(2 * index, abs=3)
            assert image.width / image.height == pytest.approx(size[1] / size[0], rel=0.02)
            assert page.request("GET", f"/picture?at={index + 0.5}")[1] == body
        assert page.request("GET", "/picture?at=69.5")[0] == 404
        page.hub.watch(shown(100))
        assert page.request("GET", "/picture?at=70.5")[0] == 200  # it is a JPEG by now
