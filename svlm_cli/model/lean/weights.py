"""Weights as they lie in safetensors files: mapped, read once, and let go of page by page.

The format: eight bytes with the length of a JSON header, the header, then the numbers of all tensors.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from svlm_cli.errors import ModelError

_NUMBERS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_PREFIXES = {  # of published checkpoints and of those that transformers 4.52 and newer write
    "model.visual.": "visual.",
    "model.language_model.": "text.",
    "visual.": "visual.",
    "model.": "text.",
    "lm_head.": "lm_head.",
}
_BYTES_AT_ONCE = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class MappedTensor:
    """One tensor in a mapped file.

    Args:
        name: as the file has it.
        tensor: a view of the mapping.
        start, length: its bytes there.
    """

    name: str
    tensor: torch.Tensor
    mapping: mmap.mmap
    start: int
    length: int

    def release(self, start: int = 0, end: int | None = None) -> None:
        """Let go of the pages of its bytes from ``start`` to ``end``: they are read again where needed."""
        first = (
            -(-(self.start + start) // mmap.PAGESIZE) * mmap.PAGESIZE
        )  # the first page that is all its own
        length = self.start + (self.length if end is None else end) - first
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED, first, length)


class Weights:
    """All tensors of a checkpoint by plain names: ``visual.*``, ``text.*``, ``lm_head.weight``.

    Args:
        stored: the stored weights by those names.
        model: the name of the model, as the user gave it.
    """

    def __init__(self, stored: Mapping[str, MappedTensor], model: str) -> None:
        self._stored = stored
        self._model = model

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """By name."""
        return {name: tuple(stored.tensor.shape) for name, stored in self._stored.items()}

    def view(self, name: str) -> torch.Tensor:
        """The tensor where it lies, in the number format it lies in; must not be written to."""
        return self._stored[name].tensor

    def blocks(self, *names: str, dtype: torch.dtype) -> Iterator[torch.Tensor]:
        """Copies of a few rows at a time of tensors, one below another; pages are let go of on the way.

        Raises:
            ModelError: some numbers are not finite.
        """
        for name in names:
            stored = self._stored[name]
            rows = stored.tensor
            row_bytes = stored.length // len(rows)
            step = max(1, _BYTES_AT_ONCE // row_bytes)
            for start in range(0, len(rows), step):
                block = rows[start : start + step]
                self._check(stored, block)
                yield block.to(dtype, copy=True)
                stored.release(start * row_bytes, min(len(rows), start + step) * row_bytes)
            stored.release()  # what the system has brought in again on either side of each block

    def take(self, *names: str, dtype: torch.dtype) -> torch.Tensor:
        """``blocks`` in one tensor."""
        tensors = [self.view(name) for name in names]
        taken = torch.empty((sum(map(len, tensors)), *tensors[0].shape[1:]), dtype=dtype)
        start = 0
        for block in self.blocks(*names, dtype=dtype):
            taken[start : start + len(block)] = block
            start += len(block)
        return taken

    def check(self, name: str) -> None:
        """All numbers of a tensor must be finite.

        Raises:
            ModelError: some are not.
        """
        for _ in self.blocks(name, dtype=self.view(name).dtype):
            pass

    def _check(self, stored: MappedTensor, block: torch.Tensor) -> None:
        if not torch.stack(torch.aminmax(block)).float().isfinite().all():
            raise ModelError(
                f"the weights of the model {self._model} are damaged: numbers of {stored.name} "
                "are not finite",
                "download it again, or go back to an earlier checkpoint",
            )


@dataclass(frozen=True, slots=True, eq=False)
class StoredRows:
    """Tensors one below another, read a few rows at a time; ``linear.RowBlocks``."""

    weights: Weights
    names: tuple[str, ...]
    dtype: torch.dtype

    @property
    def shape(self) -> torch.Size:
        """Of all of them."""
        return torch.Size((len(self), *self.weights.view(self.names[0]).shape[1:]))

    def __len__(self) -> int:
        """Rows of all of them."""
        return sum(len(self.weights.view(name)) for name in self.names)

    def split(self, _num_rows: int) -> Iterator[torch.Tensor]:
        """See ``Weights.blocks``."""
        return self.weights.blocks(*self.names, dtype=self.dtype)


def mapped_weights(files: Sequence[Path], model: str) -> Weights | None:
    """The tensors of files whose headers have been checked; None where one is of no known kind.

    Args:
        files: what ``stored.weight_files`` names.
        model: the name of the model, as the user gave it.
    """
    found: dict[str, MappedTensor] = {}
    for file in files:
        with file.open("rb") as opened:
            mapping = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
        behind = 8 + int.from_bytes(mapping[:8], "little")
        for name, entry in json.loads(mapping[8:behind]).items():
            if name == "__metadata__":
                continue
            prefix = next((each for each in _PREFIXES if name.startswith(each)), None)
            numbers = _NUMBERS.get(entry["dtype"])
            plain = name if prefix is None else _PREFIXES[prefix] + name.removeprefix(prefix)
            if prefix is None or numbers is None or plain in found:
                return None
            start, end = (behind + offset for offset in entry["data_offsets"])
            shape = torch.Size(entry["shape"])
            if not shape.numel():
                return None
            tensor = torch.frombuffer(mapping, dtype=numbers, count=shape.numel(), offset=start).view(shape)
            found[plain] = MappedTensor(name, tensor, mapping, start, end - start)
    return Weights(found, model)
