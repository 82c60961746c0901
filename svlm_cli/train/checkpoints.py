"""Checkpoints that are whole or not used, and what each of them was made from."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open

from svlm_cli.data.chunks.line_file import pair_paths
from svlm_cli.errors import ModelError, UsageError, boundary
from svlm_cli.files import put_aside, sha256_of, sync, sync_tree
from svlm_cli.model.family.livecc import FORMAT_KEY, chosen_format
from svlm_cli.model.seal import SEAL_FILE, Seal, check_files, read_seal, write_seal
from svlm_cli.recipe import dump_recipe
from svlm_cli.sections import Recipe, Stage
from svlm_cli.settings import PromptFormat

RECIPE_FILE = "recipe.yaml"
BASE = "base_sha256"
PACKAGES = ("svlm-cli", "torch", "transformers", "accelerate", "peft", "tokenizers", "av", "numpy")
# What may change between a checkpoint and going on from it: none of these changes a weight.
FREE_KEYS = frozenset(
    {"workers", "log_steps", "report_to", "keep_checkpoints", "max_bad_samples", "save_dtype", "reader"}
)
# How pictures are shown: where nothing but the arena's own is, it changes nothing.
VIEWING_KEYS = frozenset({"pictures", "deinterlace"})
# What recipes that do not say were run with.
EARLIER = {"pictures": "raw", "deinterlace": "auto"}
FREE_STAGE_KEYS = frozenset({"save_steps", "eval_steps", "step_seconds"})
# And stages that are older than these keys.
EARLIER_STAGE = {"mean": [], "takes": "all"}
_log = logging.getLogger(__name__)


def origin(recipe: Recipe, stage: Stage, world: int, before: Path | list[Path] | None) -> dict[str, Any]:
    """What a stage is made from: recipe, hashes of its data and of its first weights, versions, processes.

    Args:
        recipe, stage: the run and its part.
        world: number of processes.
        before: what the stage before left, or several that it is the mean of; None for the first one.
    """
    return {
        "stage": stage.name,
        "recipe": recipe.model_dump(mode="json"),
        "data_sha256": {str(path): _sha256(path) for path in _data_files(stage)},
        BASE: _weights_of(before),
        "num_processes": world,
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _weights_of(before: Path | list[Path] | None) -> Mapping[str, Any]:
    if isinstance(before, list):
        return {folder.parent.name: dict(read_seal(folder).weights) for folder in before}
    return {} if before is None else read_seal(before).weights


class CheckpointSeal(transformers.TrainerCallback):  # type: ignore[misc]
    """Puts the recipe, what weights need beside them and a seal on each checkpoint; removes the oldest.

    Args:
        recipe: the recipe of the run.
        made_from: what ``origin`` says.
        beside: files to lie beside the weights, by name.
    """

    def __init__(self, recipe: Recipe, made_from: Mapping[str, Any], beside: Mapping[str, str]) -> None:
        self._recipe = recipe
        self._origin = made_from
        self._beside = beside

    def on_save(self, args: Any, state: Any, _control: Any, **_others: Any) -> None:
        """Called by the Trainer in each process once it has written its own files of a checkpoint."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if args.world_size > 1:
            torch.distributed.barrier()
            sync_tree(folder)
            torch.distributed.barrier()
        if state.is_world_process_zero:
            write_beside(folder, self._recipe, self._beside)
            write_seal(folder, self._origin)
            for old in checkpoints_of(folder.parent)[self._recipe.keep_checkpoints :]:
                try:
                    remove(old)
                except OSError as error:  # one that may not be looked into is no reason to end a training
                    _log.warning("%s cannot be removed: %s", old, error.strerror)


def write_beside(folder: Path, recipe: Recipe, beside: Mapping[str, str]) -> None:
    """Write the resolved recipe and other files beside weights."""
    for name, content in {RECIPE_FILE: dump_recipe(recipe), **beside}.items():
        (folder / name).write_text(content, encoding="utf-8")


def checkpoints_of(folder: Path) -> list[Path]:
    """The checkpoints of a stage, sealed or not, the newest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The optimizer steps behind a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def remove(folder: Path) -> None:
    """Remove a checkpoint, or a result; at no moment does its seal stand over a part of it.

    Of a link the link alone goes: what it leads to lies elsewhere and stays whole.
    """
    if folder.is_symlink():
        folder.unlink()
        sync(folder.parent)
    elif folder.is_dir():
        (folder / SEAL_FILE).unlink(missing_ok=True)
        sync(folder)
        shutil.rmtree(folder)


def set_aside(folder: Path) -> Path:
    """Give what is damaged another name beside it, under which nothing looks for it."""
    aside = folder.with_name(f"damaged-{folder.name}")
    if aside.exists():
        put_aside(aside)
    folder.rename(aside)
    sync(folder.parent)
    return aside


def check_whole(folder: Path) -> Seal:
    """The seal of a checkpoint or a result all of whose files are as they were sealed.

    Of a seal that lists no files it is checked that what training needs is there and no file is cut short.

    Raises:
        ModelError: one is missing or damaged, or the seal is; names it.
    """
    seal = read_seal(folder)
    try:
        _fixed(seal.made_from)
        dict(seal.made_from["data_sha256"])
        int(seal.made_from["num_processes"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / SEAL_FILE} is damaged: it does not say what was trained") from error
    check_files(folder, seal)
    if seal.files is None:
        _check_unlisted(folder)
    return seal


def _check_unlisted(folder: Path) -> None:
    wanted = ["*.safetensors", "result.json"]
    if folder.name.startswith("checkpoint-"):
        wanted = ["*.safetensors", "optimizer*", "scheduler.pt", "rng_state*.pth", "trainer_state.json"]
    for pattern in wanted:
        if not any(folder.glob(pattern)):
            raise ModelError(f"{folder / pattern} is missing")
    for path in sorted(folder.iterdir()):
        with boundary(f"{path} is damaged", ModelError):
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".safetensors":
                safe_open(path, framework="pt")
            elif path.suffix in (".pt", ".pth") and not zipfile.is_zipfile(path):
                raise ModelError(f"{path} is damaged: it does not come to its end")


def check_same_origin(checkpoint: Path, seal: Seal, made_from: Mapping[str, Any]) -> None:
    """A run goes on exactly only from a checkpoint of the same recipe, data and number of processes.

    Raises:
        UsageError: something differs; names it.
    """
    stored = seal.made_from
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
    recipe = {**EARLIER, **made_from["recipe"]}
    free = FREE_KEYS if any(stage["chunks"] for stage in recipe["stages"]) else FREE_KEYS | VIEWING_KEYS
    names = [stage["name"] for stage in recipe["stages"]]
    fixed = {key: value for key, value in recipe.items() if key not in free}
    fixed["model"] = _with_format(recipe["model"])
    fixed["stages"] = {
        stage["name"]: _fixed_stage(stage)
        for stage in recipe["stages"][: names.index(made_from["stage"]) + 1]
    }
    return fixed


def _fixed_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    """A kind of sample that a recipe does not name has no weight in it."""
    mix = {kind: share for kind, share in stage["mix"].items() if share}
    told = {**EARLIER_STAGE, **stage, "mix": mix}
    return {key: value for key, value in told.items() if key not in FREE_STAGE_KEYS}


def _with_format(model: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's model with the format of its samples told; the first recipes knew svlm's alone."""
    if "base" not in model:
        return dict(model)
    said = PromptFormat(model.get(FORMAT_KEY, PromptFormat.SVLM))
    return {**model, FORMAT_KEY: chosen_format(said, str(model["base"])).value}


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
    return sha256_of(path) if path.is_file() else None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
