from __future__ import annotations

from pathlib import Path

import pytest

from svlm_cli.errors import UsageError
from svlm_cli.recipe import dump_recipe, load_recipe

RECIPES = sorted(
    path
    for path in (Path(__file__).parents[1] / "recipes").glob("*.yaml")
    if not path.name.startswith("bench_")
)
GOOD = "stages:\n- {name: a, steps: 2, micro_batch: 1, mix: {symbols: 1}}\n"


def stored(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert load_recipe(path).stages


def test_a_resolved_recipe_reads_back(tmp_path: Path) -> None:
    recipe = load_recipe(stored(tmp_path, GOOD))
    assert load_recipe(stored(tmp_path, dump_recipe(recipe))) == recipe


def test_settings_override_the_file(tmp_path: Path) -> None:
    recipe = load_recipe(stored(tmp_path, GOOD), ["stages.0.steps=7", "model.hidden=64", "seed=3"])
    assert (recipe.stages[0].steps, recipe.model.hidden, recipe.seed) == (7, 64, 3)


def test_all_problems_are_told_with_the_nearest_names(tmp_path: Path) -> None:
    text = "sede: 1\nstages:\n- {name: a, steps: 0, micro_bach: 1, micro_batch: 1, mix: {symbol: 1}}\n"
    with pytest.raises(UsageError) as error:
        load_recipe(stored(tmp_path, text))
    for part in (
        "did you mean seed?",
        "stages.0.steps",
        "did you mean micro_batch?",
        "did you mean symbols?",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("setting", ["steps", "stages.5.steps=1", "stages.x=1"])
def test_a_malformed_setting_is_named(tmp_path: Path, setting: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        load_recipe(stored(tmp_path, GOOD), [setting])


def test_a_file_that_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="no sections"):
        load_recipe(stored(tmp_path, "- 1"))


@pytest.mark.parametrize(
    "setting",
    [
        "=1",
        "a..b=1",
        ".seed=1",
        "seed.=1",
        "seed=[1,",
        "seed=\udcff",
        "\udcff=1",
        "seed.a=1",
        "stages.²=1",
        f"stages.{'9' * 5000}=1",
        f"{'a.' * 5000}b=1",
        f"seed={'9' * 5000}",
        "seed=-1",
        "seed=.nan",
        "stages.0.learning_rate=.inf",
        "stages.0.learning_rate=1e999",
        "stages.0.steps=1" + "0" * 400,
        "stages.0.name=..",
        "stages.0.mix.symbols=.inf",
        "model.hidden=1000000000000",
        'data.windows="a\\0b"',
        "stages=" + "[" * 2000,
        "model=*a",
        "seed=2026-99-99",
    ],
)
def test_an_odd_setting_is_one_line(tmp_path: Path, setting: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(stored(tmp_path, GOOD), [setting])
    told = str(caught.value)
    assert len(told.splitlines()) == 1
    assert len(told) < 700
    assert told.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"seed: \xff\n",
        "seed: 1\n".encode("utf-16"),
        GOOD.encode() + b"seed: 1\nseed: 2\n",
        b"[" * 100_000,
        GOOD.encode() + b"seed: .inf\n",
        GOOD.encode() + b"pixels: 99999999999999999999999\n",
        GOOD.encode() + b"1: 2\n",
        GOOD.encode() + b"\x00",
        GOOD.encode() + b"? {a: b}\n: 2\n",
    ],
)
def test_a_file_of_odd_bytes_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"recipe\.yaml") as caught:
        load_recipe(path)
    assert len(str(caught.value).splitlines()) == 1
