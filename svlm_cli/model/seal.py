"""The seal of a checkpoint: written last, it says that the folder is whole, and what is in it.

A seal holds what the checkpoint was made from, the size and SHA-256 of each of its files, and the SHA-256 of
all that, so that no byte of the folder or of the seal can change unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from svlm_cli.errors import ModelError
from svlm_cli.files import sha256_of, sync, sync_tree, whole_file
from svlm_cli.settings import PictureStyle

SEAL_FILE = "svlm_checkpoint.json"
WEIGHTS_SUFFIX = ".safetensors"
_FILES, _OWN_HASH = "files", "sha256"
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file as it was sealed.

    Args:
        num_bytes: its size.
        sha256: of its content, hexadecimal.
    """

    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Seal:
    """What a seal says.

    Args:
        made_from: what the checkpoint was made from.
        files: its files by their names in it; None in seals of 0.1.0's first builds, which list none.
    """

    made_from: Mapping[str, Any]
    files: Mapping[str, SealedFile] | None

    @property
    def weights(self) -> dict[str, str]:
        """SHA-256 of each file of weights."""
        return {
            name: file.sha256 for name, file in (self.files or {}).items() if name.endswith(WEIGHTS_SUFFIX)
        }


def write_seal(folder: Path, made_from: Mapping[str, Any]) -> None:
    """Say that a folder is whole; it is on the disk with all its files when this returns.

    Reads every file once.

    Args:
        folder: the folder with all its files.
        made_from: what it was made from, of JSON's types.

    Raises:
        OSError: a file cannot be read, or the seal not written.
    """
    sync_tree(folder)
    sync(folder.parent)
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / SEAL_FILE
    }
    content = {**made_from, _FILES: files}
    with whole_file(folder / SEAL_FILE) as partial:
        stored = {**content, _OWN_HASH: _hash_of(content)}
        partial.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


def read_seal(folder: Path) -> Seal:
    """The seal of a folder.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    path = folder / SEAL_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged: it holds no JSON object")
    own_hash, files = content.pop(_OWN_HASH, None), content.get(_FILES)
    if own_hash is None and files is None:
        return Seal(content, None)
    if own_hash != _hash_of(content):
        raise ModelError(f"{path} is damaged: its content is not what its own hash says")
    del content[_FILES]
    return Seal(content, _sealed_files(path, files))


def pictures_trained_on(folder: Path) -> str | None:
    """How the recipe that a checkpoint was trained by showed real videos; None where that is not known.

    Args:
        folder: a folder of weights or of an adapter.
    """
    if not (folder / SEAL_FILE).is_file():
        return None
    with suppress(ModelError, AttributeError, KeyError, TypeError):
        recipe = read_seal(folder).made_from["recipe"]
        if any(stage["chunks"] for stage in recipe["stages"]):
            return str(recipe.get("pictures", PictureStyle.RAW.value))  # the first recipes did not say
    return None


def check_files(folder: Path, seal: Seal) -> None:
    """Read every file of a checkpoint and compare it with the seal.

    Raises:
        ModelError: one is missing or damaged; names it.
    """
    for name, sealed in (seal.files or {}).items():
        _check_size(folder / name, sealed)
        try:
            is_same = sha256_of(folder / name) == sealed.sha256
        except OSError as error:
            raise ModelError(f"{folder / name} cannot be read: {error.strerror}") from error
        if not is_same:
            raise ModelError(f"{folder / name} is damaged: its content is not what was sealed")


def check_weights(folder: Path, *, hashed: bool) -> None:
    """Compare the weights of a model with the seal beside them, where there is one.

    Args:
        folder: a model's folder.
        hashed: read them whole; else their sizes are looked at alone.

    Raises:
        ModelError: one is missing or damaged, or the seal is.
    """
    if not (folder / SEAL_FILE).exists():
        return
    files = read_seal(folder).files or {}
    weights = {name: file for name, file in files.items() if name.endswith(WEIGHTS_SUFFIX)}
    if hashed:
        check_files(folder, Seal({}, weights))
    for name, file in weights.items():
        _check_size(folder / name, file)


def _check_size(path: Path, sealed: SealedFile) -> None:
    try:
        num_bytes = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if num_bytes is None:
        raise ModelError(f"{path} is missing")
    if num_bytes != sealed.num_bytes:
        raise ModelError(f"{path} is damaged: it has {num_bytes} bytes, {sealed.num_bytes} were sealed")


def _sealed_files(path: Path, stored: object) -> dict[str, SealedFile]:
    files = {}
    try:
        for name, file in stored.items():  # type: ignore[attr-defined]
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name} lies outside")
            files[name] = SealedFile(int(file["bytes"]), str(file["sha256"]))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path} is damaged: {error!r}") from error
    return files


def _hash_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def refuse_pointer(file: Path, name: str) -> None:
    """Say so where a file was cloned without its content.

    Raises:
        OSError: it cannot be read.
        ModelError: it is a pointer of Git LFS.
    """
    with file.open("rb") as start:
        is_pointer = start.read(len(_POINTER)) == _POINTER
    if is_pointer:
        raise ModelError(
            f"{file.name} of the model {name} is a pointer of Git LFS, not its content", "git lfs pull"
        )
