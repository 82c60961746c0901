"""The compiled kernels of this processor, where they were built: ``python setup.py build_ext --inplace``.

They are plain functions on pointers, called by ctypes, which lets other threads run meanwhile. One binary
holds them for every instruction set; which of them this processor has is found out when it is opened.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 7  # of what ``api.cpp`` exports
ROOM = Path(__file__).parent
PLACES = [ROOM / f"_native{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]

_LONG = ctypes.c_int64
_POINTER, _INT, _SIZES = ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int64)
_ARGUMENTS: dict[str, list[Any]] = {
    "svlm_has_set": [_INT],
    "svlm_set_name": [_INT],
    "svlm_attend": [
        *(_INT, _INT, _POINTER, _POINTER, _POINTER, _POINTER, _INT, _INT),
        *(_SIZES, _SIZES, _POINTER, ctypes.c_int64, ctypes.c_float, _INT),
    ],
    "svlm_attend_shares": [
        *(_INT, _INT, _POINTER, _POINTER, _POINTER, _POINTER, _INT, _INT),
        *(_SIZES, _SIZES, _POINTER, ctypes.c_float),
    ],
    "svlm_panel_bytes": [_INT, _INT, _LONG, _LONG],
    "svlm_lay_panels": [_INT, _INT, _LONG, _LONG, _POINTER, _LONG, _LONG, _POINTER],
    "svlm_take_panels": [_INT, _INT, _LONG, _LONG, _POINTER, _POINTER],
    "svlm_panels_product": [*(_INT, _INT, _INT, _POINTER, _LONG, _LONG, _POINTER, _POINTER, _LONG, _POINTER)],
    "svlm_norm": [_INT, _INT, _INT, _POINTER, _POINTER, _LONG, _LONG, ctypes.c_float, _POINTER],
    "svlm_gate": [_INT, _INT, _INT, _POINTER, _LONG, _LONG, _POINTER],
    "svlm_turn": [
        *(_INT, _INT, _INT, _INT, _POINTER, _LONG, _POINTER, _POINTER, _LONG, _LONG, _LONG, _POINTER)
    ],
    "svlm_has_tiles": [],
    "svlm_nibble_bytes": [_LONG, _LONG],
    "svlm_lay_nibbles": [_LONG, _POINTER, _POINTER, _LONG, _LONG, _POINTER],
    "svlm_take_nibbles": [_LONG, _POINTER, _POINTER, _LONG, _POINTER],
    "svlm_nibbles_product": [_INT, _INT, _POINTER, _INT, _LONG, _LONG, _POINTER, _POINTER, _LONG, _POINTER],
    "svlm_byte_panel_bytes": [_INT, _LONG, _LONG],
    "svlm_lay_byte_panels": [_INT, _LONG, _LONG, _POINTER, _LONG, _LONG, _POINTER],
    "svlm_take_byte_panels": [_INT, _LONG, _LONG, _POINTER, _POINTER],
    "svlm_byte_panels_product": [
        *(_INT, _INT, _POINTER, _INT, _LONG, _LONG, _POINTER, _POINTER, _POINTER, _POINTER, _LONG, _POINTER)
    ],
    "svlm_byte_set": [],
    "svlm_bytes_rows": [
        *(_INT, _POINTER, _INT, _LONG, _LONG, _POINTER, _POINTER, _POINTER, _POINTER, _LONG, _POINTER)
    ],
    "svlm_to_bytes": [_POINTER, _INT, _LONG, _LONG, _POINTER, _POINTER],
    "svlm_from_sums": [_POINTER, _LONG, _LONG, _POINTER, _POINTER, _POINTER, _POINTER, _INT],
}


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """The binary and the best instruction set of this processor in it.

    Args:
        functions: what it exports.
        sets: names of the instruction sets that this processor has, by number, from the plainest on.
        chosen: number of the one to use.
    """

    functions: Any
    sets: dict[int, str]
    chosen: int

    @property
    def name(self) -> str:
        """Of the chosen instruction set, e.g. ``avx512_bf16``."""
        return self.sets[self.chosen]

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether the chosen set has instructions for it; else it computes in float32."""
        return self.name in ("avx512_bf16", "amx")


def opened(path: Path) -> Native:
    """The kernels in a binary.

    Raises:
        OSError: it is missing, damaged or of another build.
    """
    library = ctypes.CDLL(str(path))
    try:
        version = library.svlm_version()
        if version != VERSION:
            raise OSError(f"{path.name} is of another build ({version}, not {VERSION})")
        for name, arguments in _ARGUMENTS.items():
            getattr(library, name).argtypes = arguments
    except AttributeError as error:
        raise OSError(f"{path.name} is of another build: {error}") from error
    library.svlm_set_name.restype = ctypes.c_char_p
    for name in ("svlm_panel_bytes", "svlm_byte_panel_bytes", "svlm_nibble_bytes"):
        getattr(library, name).restype = _LONG
    sets = {}
    number = 0
    while name := library.svlm_set_name(number):
        if library.svlm_has_set(number):
            sets[number] = name.decode()
        number += 1
    return Native(library, sets, max(sets))


class Loader:
    """Opens a binary once.

    Args:
        places: where it may be; the first that exists is taken.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._found: Native | None = None
        self._reason: str | None = None
        self._is_done = False

    def __call__(self) -> tuple[Native | None, str | None]:
        """The kernels, or why there are none."""
        if not self._is_done:
            with self._lock:
                if not self._is_done:
                    self._load()
        return self._found, self._reason

    def _load(self) -> None:
        path = next((place for place in self._places if place.exists()), None)
        if path is None:
            self._reason = "not built"
        else:
            try:
                self._found = opened(path)
            except OSError as error:
                self._reason = str(error)
        self._is_done = True


_load = Loader(PLACES)


def native() -> Native | None:
    """The compiled kernels; None where they were not built or cannot be opened."""
    return _load()[0]


def kernels_in_words() -> str:
    """Which kernels compute on the CPU: ``compiled (avx512_bf16)``, or ``torch`` and why."""
    found, reason = _load()
    return f"torch ({reason})" if found is None else f"compiled ({found.name})"
