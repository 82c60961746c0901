from __future__ import annotations

from pathlib import Path

import pytest

from svlm_cli.errors import UsageError
from svlm_cli.recipe import dump_recipe, load_recipe

RECIPES = sorted(
    path for path in (Path(__file__).parents[1] / "recipes").glob("*.yaml") if "grid" not in path.name
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
