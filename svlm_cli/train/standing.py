"""Where a stage stands when a run comes to it: done, to be gone on with, or to be begun."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from svlm_cli.errors import ModelError, UsageError
from svlm_cli.files import make_folder, sync
from svlm_cli.model.seal import SEAL_FILE, Seal
from svlm_cli.train.checkpoints import (
    BASE,
    check_same_origin,
    check_whole,
    checkpoints_of,
    remove,
    set_aside,
    step_of,
)

BAD_SAMPLES_FILE = "bad_samples.jsonl"
RESULT_FILE = "result.json"
FINAL = "final"
BEFORE = "final.before"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage came to.

    Args:
        name: the name of the stage.
        model: its folder, which ``svlm stream --model`` opens (``--adapter`` for LoRA).
        steps: optimizer steps.
        loss: the loss of the last logged steps.
        eval_loss: the loss on held-out chunks, None where there are none.
        num_bad_samples: the number of samples that could not be read; ``bad_samples.jsonl`` names them.
    """

    name: str
    model: str
    steps: int
    loss: float | None
    eval_loss: float | None
    num_bad_samples: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stage stands.

    Args:
        result: the result of a stage that is done.
        checkpoint: the checkpoint to go on from; None to begin.
        told: lines for people: what was passed over, and why.
    """

    result: StageResult | None = None
    checkpoint: Path | None = None
    told: tuple[str, ...] = ()


def find_standing(folder: Path, made_from: Mapping[str, Any], *, follows_a_run: bool) -> Standing:
    """Where a stage stands by what lies in its folder; what is damaged there gets another name.

    Args:
        folder: the folder of the stage.
        made_from: ``origin`` of what is to be run.
        follows_a_run: the stage before has been run just now.

    Raises:
        UsageError: what is there is whole, and was made by another recipe or from other data.
    """
    told: list[str] = []
    results = [folder / FINAL] if (folder / FINAL).is_dir() else []
    for place in (*results, *checkpoints_of(folder)):
        if place.name != FINAL and not _is_sealed(place):
            told.append(f"{place} has no seal: it was being written when its run ended")
            continue
        try:
            seal = check_whole(place)
            result = _result(place) if place.name == FINAL else None
        except ModelError as error:
            told.append(f"warning: {error.message}; {place.name} is passed over and kept as {_aside(place)}")
            continue
        if not _is_same_base(seal, made_from, follows_a_run=follows_a_run):
            told.append(f"{place} was trained from other weights than the stage before has now")
            continue
        check_same_origin(place, seal, made_from)
        if seal.files is None:
            told.append(f"warning: {place} was sealed by an older build: its content cannot be checked")
        return Standing(result, None if result else place, tuple(told))
    if told:
        told.append("nothing to go on from is left; the stage begins afresh")
    return Standing(told=tuple(told))


def named_standing(checkpoint: Path, made_from: Mapping[str, Any]) -> Standing:
    """Going on from a checkpoint that the user names.

    Raises:
        ModelError: it is damaged.
        UsageError: it is no checkpoint to train on from, or was made from something else.
    """
    hint = "name another checkpoint, or take --resume auto for the newest whole one"
    if not _is_sealed(checkpoint) or not checkpoints_of(checkpoint.parent).count(checkpoint):
        raise UsageError(f"--resume {checkpoint}: that is no whole checkpoint of svlm train", hint)
    try:
        seal = check_whole(checkpoint)
    except ModelError as error:
        raise ModelError(error.message, hint) from error
    check_same_origin(checkpoint, seal, made_from)
    told = f"warning: {checkpoint} was sealed by an older build: its content cannot be checked"
    return Standing(checkpoint=checkpoint, told=(told,) if seal.files is None else ())


def clear(folder: Path, checkpoint: Path | None) -> None:
    """Take away what an interrupted or an earlier run has left in a stage's folder, before anything is added.

    An earlier result is kept as ``final.before`` until there is a new one.

    Args:
        folder: the folder of the stage.
        checkpoint: the checkpoint to go on from: later ones go; None: all go.
    """
    make_folder(folder)
    shutil.rmtree(folder / f"{FINAL}.partial", ignore_errors=True)
    for path in checkpoints_of(folder):
        if checkpoint is None or step_of(path) > step_of(checkpoint) or not _is_sealed(path):
            remove(path)
    if os.path.lexists(folder / FINAL):  # a link to nothing would be in the way of the new one too
        remove(folder / BEFORE)
        (folder / FINAL).rename(folder / BEFORE)
    if checkpoint is None:
        (folder / BAD_SAMPLES_FILE).unlink(missing_ok=True)
    sync(folder)


def put_result(partial: Path, final: Path) -> None:
    """Let a whole and sealed folder be a stage's result."""
    partial.rename(final)
    sync(final.parent)
    remove(final.with_name(BEFORE))


def _result(final: Path) -> StageResult:
    try:
        stored = json.loads((final / RESULT_FILE).read_text(encoding="utf-8"))
        return replace(StageResult(**stored), model=str(final))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{final / RESULT_FILE} is damaged: {error}") from error


def _is_sealed(place: Path) -> bool:
    """Whether a seal is there; one that nobody may look at counts, and is then told as unreadable."""
    try:
        (place / SEAL_FILE).stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _aside(place: Path) -> str:
    return set_aside(place).name


def _is_same_base(seal: Seal, made_from: Mapping[str, Any], *, follows_a_run: bool) -> bool:
    """Whether a stage began with the weights that it would begin with now; older seals do not say."""
    known = seal.made_from.get(BASE)
    return not follows_a_run if known is None else bool(known == made_from[BASE])
