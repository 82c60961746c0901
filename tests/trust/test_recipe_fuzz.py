"""Recipes and grids of odd bytes and odd values: valid, or one line and exit code 2."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from svlm_cli.bench.arena.grid import load_grid
from svlm_cli.bench.speed.grid import load_speed_grid
from svlm_cli.cli import exit_code
from svlm_cli.commands.engine import Invocation
from svlm_cli.recipe import dump_recipe, load_recipe
from svlm_cli.sections import Recipe
from svlm_cli.settings import StreamSettings
from tests.cpu_time import no_hang
from tests.trust.damage import ODD_LITERALS, damaged, with_odd_values

Cases = Callable[[int, int], range]
Tally = Callable[[str, int], None]
FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = [path for path in sorted(FOLDER.glob("*.yaml")) if not path.name.startswith("bench_")]
GRIDS = {"bench_arena_grid": load_grid, "bench_fps_grid": load_speed_grid}
ODD_YAML = (
    ".inf", "-.inf", ".nan", "1e400", "2026-99-99", "*a", "&a [*a]", "!!int x", "!!binary x", "{a: 1, a: 2}",
    "? [1]", "0x" + "f" * 5000, "1:30:00", "yes", "~", "|\n  text", "'" + "x" * 5000 + "'", "a\nb",
)  # fmt: skip
ODD_KEYS = (
    "", ".", "a..b", "stages.-1.steps", "stages.99999999999.steps", "stages.²", "stages.0", "seed.x.y",
    "model.lora.rank.x", "a." * 300 + "b", "\udcff", "\x1b]0;x\x07", "stages.0.mix.sym\nbols", "__class__",
    "x" * 5000,
)  # fmt: skip
KEYS = ("seed", "stages.0.steps", "stages.0.learning_rate", "stages.0.name", "pixels", "model", "stages")
Loaded = TypeVar("Loaded")


def attempt(action: Callable[[], Loaded], capsys: pytest.CaptureFixture[str], where: object) -> Loaded | None:
    """What was loaded; else None, after one printable line and exit code 2, in bounded time."""
    found: list[Loaded] = []
    with no_hang(where):
        code = exit_code(lambda: found.append(action()), Invocation())
    told = capsys.readouterr()
    assert code in (0, 2), (where, told.err)
    assert not told.out
    if code:
        assert told.err.startswith("error: "), where
        assert len(told.err.splitlines()) == 1, where
        assert len(told.err) < 5000, where
    return found[0] if code == 0 else None


def numbers_in(value: Any) -> list[float]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, (int, float)) else []
    return [*own, *(number for each in inner for number in numbers_in(each))]


def check_valid(recipe: Recipe, path: Path) -> None:
    """It reads back as it was written, and no number of it is out of bounds."""
    text = dump_recipe(recipe)
    assert all(0 <= number < 2**32 for number in numbers_in(yaml.safe_load(text)))
    path.write_text(text, encoding="utf-8")
    assert load_recipe(path) == recipe


def test_recipes_and_settings(
    cases: Cases, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    numbers = cases(30, 360)
    num_valid = 0
    for seed in numbers:
        dice = random.Random(f"recipe {seed}")
        whole = dice.choice(RECIPES).read_bytes()
        settings: list[str] = []
        if seed % 3 == 0:  # bytes
            path.write_bytes(damaged(whole, dice, is_json=False))
        elif seed % 3 == 1:  # values: JSON is YAML
            path.write_bytes(with_odd_values(json.dumps(yaml.safe_load(whole)).encode(), dice))
        else:
            path.write_bytes(whole)
            key, value = dice.choice([*ODD_KEYS, *KEYS]), dice.choice([*ODD_YAML, *ODD_LITERALS, "1"])
            settings = [f"{key}={value}" if dice.random() < 0.9 else key]
        recipe = attempt(partial(load_recipe, path, settings), capsys, (seed, settings))
        if recipe is not None:
            check_valid(recipe, tmp_path / "again.yaml")
            num_valid += 1
    assert 0 < num_valid < len(numbers)
    tally("a recipe or --set of any bytes is valid or one line, exit code 2", len(numbers))


def test_grids(cases: Cases, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "grid.yaml"
    numbers = cases(9, 60)
    for seed in numbers:
        dice = random.Random(f"grid {seed}")
        name, load = dice.choice(list(GRIDS.items()))
        whole = (FOLDER / f"{name}.yaml").read_bytes()
        if seed % 2:
            path.write_bytes(with_odd_values(json.dumps(yaml.safe_load(whole)).encode(), dice))
        else:
            path.write_bytes(damaged(whole, dice, is_json=False))
        attempt(partial(load, path, StreamSettings()), capsys, seed)
    tally("a grid of any bytes is valid or one line, exit code 2", len(numbers))
