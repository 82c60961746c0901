"""How an output goes on behind an earlier run, and what is to be said where it is not as that run left it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from svlm_cli.cue_text import timestamp
from svlm_cli.errors import OutputError
from svlm_cli.stream.outputs.append import AppendFile
from svlm_cli.stream.outputs.contract import Earlier
from svlm_cli.stream.outputs.formats import OutputFormat, Pieces, Written, encoded, kept_bytes, resumed
from svlm_cli.stream.outputs.rotation import current_part, go_back

LAST_WORDS = "its last words: they are written again"


def begun_anew(path: Path, real_path: str, earlier: Earlier, kept: str = "") -> str:
    """What is to be said of an output that begins where a stream goes on.

    Args:
        path: as its user named it.
        real_path: where it lies.
        earlier: the run that is gone on from.
        kept: what became of a file that was there; empty where there was none.
    """
    until = timestamp(earlier.reached_seconds)
    if real_path in earlier.lengths:
        told = f"{path} is gone: what it held up to {until} is missing"
        return f"{told}; what {kept}" if kept else told
    known = f"{path} is no output of the saved state and begins at {until}"
    return f"{known}; what {kept}" if kept else known


def go_on_behind(file: AppendFile, pieces: Pieces, content: bytes, earlier: Earlier) -> str:
    """Go on behind the whole pieces of a file that was reopened.

    Args:
        content: all it holds.

    Returns:
        What it lacks; empty for nothing.

    Raises:
        OutputError: it cannot be written.
    """
    length = earlier.lengths[file.real_path]
    num_bytes = kept_bytes(content if not earlier.cut else content[:length], pieces)
    file.cut(num_bytes, pieces.header.encode(), pieces.footer.encode())
    if num_bytes >= length:
        if not earlier.cut and content[num_bytes:] not in (b"", pieces.footer.encode()):
            return f"{file.path} had a torn end; {len(content) - num_bytes} bytes are cut off"
        return ""
    told = pieces.last.findall(content[:num_bytes].decode("utf-8", "replace"))
    behind = f"its last whole piece ({told[-1]})" if told else "its start"
    return (
        f"{file.path} is torn, or shorter than the saved state says: it goes on behind {behind}; what it "
        f"held from there up to {timestamp(earlier.reached_seconds)} is missing"
    )


def is_as_left(content: bytes, pieces: Pieces, length: int, held: str) -> bool:
    """Whether a file holds all that a state counts of it, in whole pieces.

    Args:
        content: all it holds.
        pieces: its kind.
        length: what the state counts of it.
        held: what was held back of it then.
    """
    num_bytes = kept_bytes(content, pieces)
    is_whole = num_bytes >= length and content[num_bytes:] == pieces.footer.encode()
    return is_whole and not lacks_open_cue(content[:num_bytes].decode("utf-8", "replace"), held)


def lacks_open_cue(kept: str, held: str) -> bool:
    """Whether a cue was held back that does not stand in a file."""
    try:
        begin = timestamp(float(json.loads(held)["open"]["start_seconds"]))
    except (ValueError, KeyError, TypeError):  # nothing is open, or it is of another build
        return False
    written = re.escape(begin).replace(r"\.", "[.,]")
    return re.search(rf'{written} -->|begin="{written}"', kept) is None


def put(file: AppendFile, pieces: Pieces, written: Written) -> None:
    """Write what an event adds to a file.

    Raises:
        OSError: it cannot be written.
    """
    file.append(encoded(written.pieces), encoded(written.open + pieces.footer))


def placed(file: AppendFile, earlier: Earlier | None, *, keeps: bool) -> list[str]:
    """Put a new file in place; what is to be told of the one before, or that one should be there.

    Raises:
        OutputError: it cannot be put there.
    """
    aside = file.place(keep=keeps)
    kept = "" if aside is None else f"was there already: it is kept as {aside.name}"
    if earlier is not None and file.is_ordinary:
        return [begun_anew(file.path, file.real_path, earlier, kept)]
    return [f"{file.path} {kept} (--overwrite replaces it)"] if kept else []


def settle_file(
    file: AppendFile, pieces: Pieces, output: OutputFormat | None, earlier: Earlier, *, keeps: bool
) -> tuple[bool, list[str]]:
    """As ``contract.Production`` has it, of a file of pieces; ``output`` writes its cues."""
    if not file.is_ordinary:
        return False, []
    length, held = earlier.lengths.get(file.real_path), earlier.part_and_open(file.real_path)[1]
    content, told = b"", ""
    if length is not None and os.path.isfile(file.real_path):
        content = file.reopen()
        if is_as_left(content, pieces, length, held):
            file.close()
            return False, []
        told = go_on_behind(file, pieces, content, earlier)
    else:
        file.prepare(pieces.header.encode(), pieces.footer.encode())
        (told,) = placed(file, earlier, keeps=keeps)
    kept = content[: file.num_bytes].decode("utf-8", "replace")
    if output is not None and length is not None and lacks_open_cue(kept, held):
        put(file, output, resumed(output, kept, held))
        told = f"{told}; its last words are written again" if told else f"{file.path} lacked {LAST_WORDS}"
    return True, [told] if told else []


def gone_back(files: Iterable[AppendFile], earlier: Earlier) -> Earlier:
    """Where files were rotated after the state was saved: back to the part that it knows, or past it.

    Raises:
        OutputError: it cannot be.
    """
    lengths = dict(earlier.lengths)
    for file in files:
        target = Path(file.real_path)
        part, _ = earlier.part_and_open(file.real_path)
        if part and current_part(target) > part:
            try:
                if earlier.cut:
                    go_back(target, part)
                else:
                    lengths[file.real_path] = 0
            except OSError as error:
                raise OutputError(f"cannot go on with {file.path}: {error.strerror}") from error
    return replace(earlier, lengths=lengths)
