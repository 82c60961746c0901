"""The form of a saved state: safetensors, with JSON and a checksum of everything in its header.

Written here and not by safetensors' own ``save_file``: that writes to a file of a random name first, which
stays, as large as the cache, where the process is killed.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from svlm_cli.errors import StateError, boundary
from svlm_cli.files import whole_file
from svlm_cli.model.window import SpanKind

STATE_FORMAT = 3
HEADER, CHECKSUM = "svlm_state", "crc32"
_ALIGNMENT = 8
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_PLAIN: Mapping[str, type] = {
    "made_with": dict,
    "source": str,
    "reached_seconds": float,
    "saved_at": float,
    "outputs": dict,
    "questions": list,
    "session": dict,
}
_SESSION: Mapping[str, type] = {
    "turn": int,
    "capacity": int,
    "grids": dict,
    "spans": list,
    "base": float,
    "end": float,
}


def begins_a_state(opening: bytes) -> bool:
    """Whether the first bytes of a file are a state's; weights in the same format are none."""
    first = "|".join((HEADER, CHECKSUM))  # older states had them in any order
    return re.match(rb'\{"__metadata__":\s*\{"(%s)"' % first.encode(), opening[8:]) is not None


def write_state(path: Path, header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Put a state in place of the one before, in one rename, durably.

    Args:
        header: what JSON can hold, of the fields that ``read_state`` gives back.
        tensors: tensors on the CPU.

    Raises:
        OSError: it cannot be written; the one before stays.
    """
    text = json.dumps({"format": STATE_FORMAT} | dict(header))
    described: dict[str, Any] = {"__metadata__": {HEADER: text, CHECKSUM: _checksum(tensors, text)}}
    # Wide numbers first: each is aligned then.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        shape, dtype = list(tensor.shape), _DTYPES[tensor.dtype]
        described[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    opening = json.dumps(described).encode()
    opening += b" " * (-len(opening) % _ALIGNMENT)
    with whole_file(path) as partial, partial.open("xb") as file:
        file.write(len(opening).to_bytes(8, "little") + opening)
        for name in names:
            file.write(_bytes(tensors[name]))


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Header and tensors of a state, each field of its type and within its bounds.

    Raises:
        StateError: missing, damaged, or of another form.
    """
    if not path.exists():
        raise StateError(f"no such file: {path}", "check the path given to --resume")
    if not path.is_file():
        raise StateError(f"{path} is no ordinary file", "check the path given to --resume")
    what = f"{path} is not a state that svlm has saved, or it is damaged"
    with boundary(what, StateError, "start without --resume"):
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        text = metadata.get(HEADER, "")
        header = json.loads(text)
        if not isinstance(header, dict) or not isinstance(found := header.get("format"), int):
            raise ValueError("its header says no form")
        if found != STATE_FORMAT:
            raise StateError(
                f"{path} was saved in another form ({found}, not {STATE_FORMAT})",
                "resume with the version of svlm that saved it",
            )
        if metadata.get(CHECKSUM) != _checksum(tensors, text):
            raise ValueError("its checksum is another one")
        _check_header(header)
        _check_tensors(header["session"], tensors)
    return header, tensors


def _checksum(tensors: Mapping[str, torch.Tensor], header: str) -> str:
    """CRC-32 of everything: safetensors has none, and a bit that has turned would go on for hours unseen."""
    found = zlib.crc32(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        described = f"{name} {_DTYPES.get(tensor.dtype)} {tuple(tensor.shape)}"
        found = zlib.crc32(_bytes(tensor), zlib.crc32(described.encode(), found))
    return f"{found:08x}"


def _bytes(tensor: torch.Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data


def _check_header(header: Mapping[str, Any]) -> None:
    """Raise ValueError where a field lacks, or is not what its name says."""
    _check_fields(header, _PLAIN, "")
    _check_fields(header["session"], _SESSION, "session.")
    for path, length in header["outputs"].items():
        _require(_is(length, int) and length >= 0, f"outputs: {length!r} bytes of {path!r}")
    held = header.get("held", {})  # of earlier builds there is none
    _require(_is(held, dict) and all(_is(each, str) for each in held.values()), f"held: {held!r}")
    for question in header["questions"]:
        is_one = isinstance(question, list) and len(question) == 2
        _require(is_one and _is(question[0], float) and _is(question[1], str), f"questions: {question!r}")
    for turn, grid in header["session"]["grids"].items():
        _require(turn.isdecimal() and _is_grid(grid), f"session.grids: {grid!r} of {turn!r}")
    for span in header["session"]["spans"]:
        is_one = isinstance(span, list) and len(span) == 4 and all(_is(each, int) for each in span[:3])
        _require(is_one and span[2] >= 0 and (span[3] is None or _is_grid(span[3])), f"spans: {span!r}")


def _check_fields(values: Mapping[str, Any], kinds: Mapping[str, type], prefix: str) -> None:
    for name, kind in kinds.items():
        _require(name in values, f"{prefix}{name} is missing")
        value = values[name]
        is_in_bounds = _is(value, kind) and (kind not in (int, float) or value >= 0 or name == "base")
        _require(is_in_bounds, f"{prefix}{name} is {value!r}")


def _check_tensors(session: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError where tensors do not fit each other or the layout."""
    num_tokens = sum(span[2] for span in session["spans"])
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    sampler = shapes.get("sampler")
    _require(sampler is not None and len(sampler) == 1, f"sampler is {sampler}")
    for name in ("context.ids", "context.origins"):
        _require(shapes.get(name) == (num_tokens,), f"{name} is {shapes.get(name)}, not {num_tokens} tokens")
    rows = shapes.get("context.fed_rows")
    _require(rows in ((3, 0), (3, num_tokens)), f"context.fed_rows is {rows}, not {num_tokens} tokens")
    for turn, grid in session["grids"].items():
        held = shapes.get(f"video.{turn}", ())
        shown = sum(span[2] for span in session["spans"] if span[:2] == [SpanKind.VIDEO, int(turn)])
        is_whole = len(held) == 2 and held[0] == shown >= math.prod(grid)  # some end a clip with one more
        _require(is_whole, f"video.{turn} is {held}, not the {shown} tokens of {grid}")
        deep = shapes.get(f"deep.{turn}")
        _require(deep is None or deep[1:] == held, f"deep.{turn} is {deep}, beside video.{turn} of {held}")
    if not any(name.startswith("cache.") for name in shapes):
        return
    keys = shapes.get("cache.keys", ())
    _require(len(keys) == 4 and keys[2] <= num_tokens, f"cache.keys is {keys} of {num_tokens} tokens")
    for name in ("cache.slots", "cache.shifts", "cache.has_original"):
        _require(shapes.get(name) == keys[2:3], f"{name} is {shapes.get(name)}, not {keys[2]} tokens")
    num_original = int(tensors["cache.has_original"].sum())
    originals = (*keys[:2], num_original, *keys[3:])
    for name, shape in (("cache.values", keys), ("cache.originals", originals)):
        _require(shapes.get(name) == shape, f"{name} is {shapes.get(name)}, not {shape}")
    conv, matrix = shapes.get("cache.conv", ()), shapes.get("cache.matrix", ())
    are_states = (len(conv), len(matrix)) in ((0, 0), (3, 4)) and conv[:1] == matrix[:1]
    _require(are_states, f"cache.conv is {conv} beside cache.matrix of {matrix}")
    is_order = torch.equal(tensors["cache.slots"].sort().values, torch.arange(keys[2]))
    _require(is_order, "cache.slots is no order of the tokens")


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _is_grid(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is(each, int) and each > 0 for each in value)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
