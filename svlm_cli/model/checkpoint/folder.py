"""A model's new folder, which is there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svlm_cli.claims import claim
from svlm_cli.errors import UsageError
from svlm_cli.files import make_folder, sync, sync_tree


@contextmanager
def new_model_folder(out: Path) -> Iterator[Path]:
    """A name beside ``out`` that is no folder yet, to write one; it becomes ``out`` at the end.

    Where writing fails or is killed, there is no ``out``; what a kill left is cleared away by the next call.

    Raises:
        UsageError: ``out`` exists.
        OutputError: somebody else is writing it.
    """
    make_folder(out.parent)
    with claim(out, f"the model {out}"):
        if out.exists():
            raise UsageError(f"{out} is there already", "name a new folder")
        unfinished = out.with_name(f".{out.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            yield unfinished
            sync_tree(unfinished)
            unfinished.rename(out)
            sync(out.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
