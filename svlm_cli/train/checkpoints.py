"""Checkpoints that are whole or not used, and what each of them was made from."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import transformers

from svlm_cli.data.line_file import pair_paths
from svlm_cli.errors import UsageError
from svlm_cli.files import whole_file
from svlm_cli.recipe import dump_recipe
from svlm_cli.sections import Recipe, Stage

RECIPE_FILE = "recipe.yaml"
SEAL_FILE = "svlm_checkpoint.json"
PACKAGES = ("svlm-cli", "torch", "transformers", "accelerate", "peft", "tokenizers", "av", "numpy")
_HASH_BLOCK = 1 << 20
# What may change between a checkpoint and going on from it: none of these changes a weight.
FREE_KEYS = frozenset(
    {"workers", "log_steps", "report_to", "keep_checkpoints", "max_bad_samples", "save_dtype"}
)
FREE_STAGE_KEYS = frozenset({"save_steps", "eval_steps"})


def origin(recipe: Recipe, stage: Stage, world: int) -> dict[str, Any]:
    """What a stage is made from: the recipe, hashes of its data, versions, processes.

    Args:
        recipe, stage: the run and its part.
        world: number of processes.
    """
    return {
        "stage": stage.name,
        "recipe": recipe.model_dump(mode="json"),
        "data_sha256": {str(path): _sha256(path) for path in _data_files(stage)},
        "num_processes": world,
        "versions": {"python": platform.python_version(), **_versions()},
    }


class CheckpointSeal(transformers.TrainerCallback):  # type: ignore[misc]
    """Puts a seal, the recipe and what weights need beside them on each checkpoint once it is whole.

    Args:
        recipe: of the run.
        made_from: what ``origin`` says.
        beside: files to lie beside the weights, by name.
    """

    def __init__(self, recipe: Recipe, made_from: Mapping[str, Any], beside: Mapping[str, str]) -> None:
        self._recipe = recipe
        self._origin = made_from
        self._beside = beside

    def on_save(self, args: Any, state: Any, _control: Any, **_others: Any) -> None:
        """Called by the Trainer when all files of a checkpoint are written."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_beside(folder, self._recipe, self._beside)
            write_seal(folder, self._origin)


def write_seal(folder: Path, made_from: Mapping[str, Any]) -> None:
    """Say that a folder is whole, and what it was made from (``origin``)."""
    with whole_file(folder / SEAL_FILE) as partial:
        partial.write_text(json.dumps(made_from, indent=2) + "\n", encoding="utf-8")


def write_beside(folder: Path, recipe: Recipe, beside: Mapping[str, str]) -> None:
    """Write the resolved recipe and other files beside weights."""
    for name, content in {RECIPE_FILE: dump_recipe(recipe), **beside}.items():
        (folder / name).write_text(content, encoding="utf-8")


def last_sealed(folder: Path) -> Path | None:
    """The newest whole checkpoint of a stage, None where there is none."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{SEAL_FILE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def remove_unsealed(folder: Path) -> None:
    """Remove checkpoints that a kill left half written."""
    for path in folder.glob("checkpoint-*"):
        if not (path / SEAL_FILE).is_file():
            shutil.rmtree(path)


def check_same_origin(checkpoint: Path, made_from: Mapping[str, Any]) -> None:
    """A run goes on exactly only from a checkpoint of the same recipe, data and number of processes.

    Raises:
        UsageError: something differs; names it.
    """
    stored = json.loads((checkpoint / SEAL_FILE).read_text(encoding="utf-8"))
    differ = [
        *_differences("", _fixed(stored), _fixed(made_from)),
        *_differences("hash of ", stored["data_sha256"], made_from["data_sha256"]),
    ]
    if stored["num_processes"] != made_from["num_processes"]:
        differ.append(f"processes ({stored['num_processes']} -> {made_from['num_processes']})")
    if differ:
        raise UsageError(
            f"{checkpoint} was made from something else: {', '.join(differ)}",
            "undo that, start afresh with --resume never, or take another --out",
        )


def _fixed(made_from: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe decides the weights: not what comes after the stage."""
    recipe = made_from["recipe"]
    names = [stage["name"] for stage in recipe["stages"]]
    fixed = {key: value for key, value in recipe.items() if key not in FREE_KEYS}
    fixed["stages"] = {
        stage["name"]: {key: value for key, value in stage.items() if key not in FREE_STAGE_KEYS}
        for stage in recipe["stages"][: names.index(made_from["stage"]) + 1]
    }
    return fixed


def _differences(place: str, before: Any, now: Any) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        inner = f"{place}." if place and not place.endswith(" ") else place
        return [text for key in keys for text in _differences(f"{inner}{key}", before.get(key), now.get(key))]
    return [] if before == now else [f"{place} ({_short(before)} -> {_short(now)})"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."


def _data_files(stage: Stage) -> list[Path]:
    return [pair_paths(source.path, source.name)[0] for source in stage.chunks]


@cache
def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
