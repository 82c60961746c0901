"""Pixels: the same everywhere, cheap, and readable by a decoder that knows only the legend."""

import hashlib
import time

import numpy as np
import pytest
from PIL import Image

from svlm_cli.arena.address import ArenaAddress
from svlm_cli.arena.render import Renderer
from svlm_cli.arena.setup import draw_setup, team_of
from svlm_cli.arena.timeline import Timeline
from svlm_cli.arena.truth import truth

PIXELS_SHA256 = "a7d99a6d2ef0f8133d9ca8ad04a0997f8f2422a60aaaf8ed4e306a80462317b9"
WIDTH, HEIGHT = 168, 112
METRE = HEIGHT / 40
LEGEND = {
    "red": (216, 30, 38),
    "blue": (32, 70, 225),
    "yellow": (252, 224, 40),
    "white": (250, 250, 250),
    "black": (22, 22, 26),
    "purple": (142, 44, 196),
}
CYAN, ORANGE = (0, 240, 255), (255, 132, 0)


def near(image, colour, tolerance):
    """Pixels within ``tolerance`` of a colour in every channel; image int16."""
    close = [np.abs(image[:, :, channel] - colour[channel]) <= tolerance for channel in range(3)]
    return close[0] & close[1] & close[2]


def centre_of(mask):
    """Place, in metres, of the middle of the pixels that are set."""
    rows, columns = np.nonzero(mask)
    return (columns.mean() + 0.5) / METRE - 30, (rows.mean() + 0.5) / METRE - 20


def decode(image, kits):
    """(team in possession or None, place of the ball or None, team of a foul ring or None)."""
    image = image.astype(np.int16)
    halo = near(image, CYAN, 40)
    team = None
    if halo.sum() > 60:
        x, y = centre_of(halo)
        rows, columns = np.ogrid[0:HEIGHT, 0:WIDTH]
        inside = np.hypot((columns + 0.5) / METRE - 30 - x, (rows + 0.5) / METRE - 20 - y) < 1.6
        votes = [(near(image, LEGEND[kit], 60) & inside).sum() for kit in kits]
        team = int(np.argmax(votes))
    ball = near(image, ORANGE, 35)
    rings = [near(image, LEGEND[kit], 30).sum() / METRE**2 > 100 for kit in kits]
    foul = rings.index(True) if any(rings) else None
    return team, centre_of(ball) if ball.any() else None, foul


def readable(setup, scene, image):
    team, ball, foul = decode(image, setup.kits)
    rings = [mark.team for mark in scene.marks if mark.kind == "foul"]
    expected = None if scene.holder is None else team_of(scene.holder)
    found = ball is not None and np.hypot(ball[0] - scene.ball[0], ball[1] - scene.ball[1]) < 2.0
    return team == expected and found and foul == (rings[0] if rings else None)


@pytest.mark.parametrize("scale", [1, 3])
def test_a_simple_decoder_reads_the_picture(scale):
    """At the model's size: drawn so, or drawn three times as large and resized as for the model."""
    total = wrong = 0
    for seed in range(300, 318):
        setup = draw_setup("soccer", seed)
        timeline, renderer = Timeline(setup), Renderer(setup, scale * WIDTH, scale * HEIGHT)
        for k in range(80 // scale):
            scene = timeline.scene(60 + k * scale / 0.75)
            image = renderer.draw(scene)
            if scale > 1:
                image = np.asarray(Image.fromarray(image).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
            total += 1
            wrong += not readable(setup, scene, image)
    assert total >= 18 * 26
    assert wrong <= total / 1000


def test_the_team_of_a_foul_is_seen_in_its_own_second_only():
    """At 8 FPS from the foul to the free kick."""
    seen = 0
    for seed in range(20, 24):
        setup = draw_setup("soccer", seed)
        timeline, renderer = Timeline(setup), Renderer(setup, WIDTH, HEIGHT)
        foul = None
        for record in truth(ArenaAddress(seed=seed, minutes=6)):
            if record.spoken is not None and record.spoken.kind == "foul":
                foul = record
            elif record.spoken is not None and record.spoken.kind == "free_kick" and foul is not None:
                frames = [k / 8 for k in range(8 * foul.second, 8 * record.second)]
                rings = [(t, decode(renderer.draw(timeline.scene(t)), setup.kits)[2]) for t in frames]
                shown = [(t, setup.names[team]) for t, team in rings if team is not None]
                assert {name for _, name in shown} == {record.spoken.team}
                assert {int(t) for t, _ in shown} == {foul.second}
                assert len(shown) >= 5
                seen += 1
    assert seen >= 5


def test_the_same_seed_is_the_same_pixels_for_ever():
    digest = hashlib.sha256()
    for seed in range(3):
        setup = draw_setup("soccer", seed)
        timeline = Timeline(setup)
        for width, height in ((WIDTH, HEIGHT), (504, 336), (640, 360)):
            renderer = Renderer(setup, width, height)
            for k in range(40):
                digest.update(renderer.draw(timeline.scene(30 + 1.625 * k)).tobytes())
    assert digest.hexdigest() == PIXELS_SHA256


@pytest.mark.parametrize("size", [(56, 56), (333, 99), (112, 84)])
def test_any_size_is_drawn(size):
    setup = draw_setup("soccer", 1)
    image = Renderer(setup, *size).draw(Timeline(setup).scene(20))
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8


def test_drawing_is_cheap():
    setup = draw_setup("soccer", 4)
    timeline, renderer = Timeline(setup), Renderer(setup, WIDTH, HEIGHT)
    scenes = [timeline.scene(20 + k / 8) for k in range(40)]
    walls = []
    for _ in range(5):
        began = time.perf_counter()
        for scene in scenes:
            renderer.draw(scene)
        walls.append((time.perf_counter() - began) / len(scenes))
    assert min(walls) < 0.005
