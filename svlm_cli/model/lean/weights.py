"""Weights as they lie in safetensors files: mapped, read once, and let go of page by page.

The format: eight bytes with the length of a JSON header, the header, then the numbers of all tensors.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
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
_ROWS_AT_ONCE = 1 << 22  # numbers looked at in one go


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

    def release(self) -> None:
        """Let go of its pages: they are read again from the file where somebody needs them."""
        start = -(-self.start // mmap.PAGESIZE) * mmap.PAGESIZE  # the first page that is its own
        length = self.start + self.length - start
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED, start, length)


class Weights:
    """All tensors of a checkpoint by plain names: ``visual.*``, ``text.*``, ``lm_head.weight``.

    Args:
        stored: by those names.
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

    def take(self, *names: str, dtype: torch.dtype) -> torch.Tensor:
        """A copy of tensors, one below another, whose pages are then let go of.

        Raises:
            ModelError: some numbers are not finite.
        """
        parts = []
        for name in names:
            self.check(name)
            parts.append(self.view(name))
        taken = torch.empty((sum(len(part) for part in parts), *parts[0].shape[1:]), dtype=dtype)
        start = 0
        for name, part in zip(names, parts, strict=True):
            taken[start : start + len(part)] = part
            start += len(part)
            self.release(name)
        return taken

    def check(self, name: str) -> None:
        """All numbers of a tensor must be finite.

        Raises:
            ModelError: some are not.
        """
        flat = self.view(name).flatten()
        for start in range(0, len(flat), _ROWS_AT_ONCE):
            extremes = torch.stack(torch.aminmax(flat[start : start + _ROWS_AT_ONCE]))
            if not extremes.float().isfinite().all():
                raise ModelError(
                    f"the weights of the model {self._model} are damaged: numbers of "
                    f"{self._stored[name].name} are not finite",
                    "download it again, or go back to an earlier checkpoint",
                )

    def release(self, name: str) -> None:
        """See ``MappedTensor.release``."""
        self._stored[name].release()


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
