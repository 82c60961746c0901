"""The KV cache: preallocated, evicted in place, moved keys rotated from their stored originals.

Shape legend: L = layers with keys and values, H = key/value heads, C = capacity in tokens, n = tokens held,
m = tokens touched, D = head size.

Two orders live side by side. *Layout order* is the order of the prompt; callers speak of tokens by
their index in it. *Slots* are places in memory; attention does not care about their order, so a
freed slot is refilled from the tail and the held tokens are always the first n slots. A forward
pass writes its new tokens at the tail, where the causal masks of Hugging Face models (and
flash-attention's bottom-right one) expect them.

Keys reach the cache already rotated to the position of their first forward. Moving a token by
``s`` positions rotates its key by ``s * inv_freq``: attention depends on differences alone, and a
span moves by the same amount in all three M-RoPE rows, so the rows need not be told apart
(RoPE: arXiv 2104.09864, section 3.2). A key is always rotated from its first copy, never from a
rotated one, so any number of moves costs one rounding (in int8 there was one before: the copy's).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from svlm_cli.model.device import to_device
from svlm_cli.model.states.formats import as_numbers, as_rows, head_size_of
from svlm_cli.model.states.kv_layer import StreamingCacheLayer
from svlm_cli.model.states.mark import CacheMark
from svlm_cli.model.states.recurrent import RecurrentLayer, RecurrentStates
from svlm_cli.model.states.rotation import Rotation
from svlm_cli.model.states.tail import Tail
from svlm_cli.model.window import TokenRange

GROWTH = 1.5
SHIFT_TOLERANCE = 1e-6
MAX_ROTATED_ELEMENTS = 1 << 24
RECURRENT = ("conv", "matrix")


class StreamingCache:
    """KV states of the kept tokens of one stream (batch of one); ``hooks.cache`` hands it to transformers.

    Args:
        num_layers: the number of layers of the model.
        rotation: how the family turns its keys.
        capacity: tokens to allocate at first; grows by half when it does not suffice.
        recurrent: numbers of the layers that have a state of fixed size in place of keys and values.
        number_format: of keys and values (``KV_FORMATS``); None for that of the first states.
    """

    def __init__(
        self,
        num_layers: int,
        rotation: Rotation,
        capacity: int,
        recurrent: Collection[int] = (),
        number_format: torch.dtype | None = None,
    ) -> None:
        self._recurrent = [RecurrentLayer() for _ in recurrent]
        self._kv = [StreamingCacheLayer(self, index) for index in range(num_layers - len(recurrent))]
        rest: tuple[Iterator[Any], Iterator[Any]] = iter(self._recurrent), iter(self._kv)
        self.layers = [next(rest[number not in recurrent]) for number in range(num_layers)]
        self._rotation = rotation
        self._capacity = capacity
        self._format = number_format
        self._keys: torch.Tensor | None = None
        self._values: torch.Tensor | None = None
        self._originals: torch.Tensor | None = None
        self._slots = np.zeros(0, dtype=np.int64)
        self._shifts = np.zeros(0, dtype=np.float64)
        self._has_original = np.zeros(0, dtype=bool)

    @property
    def num_tokens(self) -> int:
        """n: tokens with KV states."""
        return self._kv[0].get_seq_length()

    @property
    def num_kv_layers(self) -> int:
        """L."""
        return len(self._kv)

    @property
    def capacity(self) -> int:
        """C: tokens there is room for without growing."""
        return self._capacity

    @property
    def num_bytes(self) -> int:
        """Storage allocated, bytes."""
        held = [self._keys, self._values, self._originals]
        held += [each for states in self.recurrent_states for each in (states.conv, states.matrix)]
        return sum(tensor.numel() * tensor.element_size() for tensor in held if tensor is not None)

    def recurrent_memory(self) -> list[RecurrentStates]:
        """Where layers with a state of fixed size keep it, also where they have seen nothing; never moved."""
        return [layer.memory for layer in self._recurrent]

    @property
    def recurrent_states(self) -> list[RecurrentStates]:
        """Of the layers with a state of fixed size, in order; none before the first token."""
        return [states for layer in self._recurrent if (states := layer.states) is not None]

    def allocate(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        recurrent: RecurrentStates | None = None,
    ) -> None:
        """Make storage for all layers at once, on the device of the first states.

        Args:
            key_states, value_states: shape (1, H, any, D).
            recurrent: what a layer with a state of fixed size starts from, where those are to be there too.
        """
        if recurrent is not None:
            for layer in self._recurrent:
                layer.make_memory(recurrent)
        if self._keys is None:
            first = (each[:, :, :0] for each in (key_states, value_states))
            self._keys, self._values = (
                self._zeros(as_rows(each, self._format or each.dtype)) for each in first
            )

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new states (1, H, m, D) of a layer of the model at the tail; all held ones, as views."""
        return self.layers[layer].update(key_states, value_states)  # type: ignore[no-any-return]

    def storage(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of keys and values of the ``layer``-th layer that has some, shape (1, H, C, D); views."""
        assert self._keys is not None
        assert self._values is not None
        return self._keys[layer : layer + 1], self._values[layer : layer + 1]

    def tail(self, num_tokens: int) -> Tail:
        """Room for tokens; whoever has written their states calls ``advance``. Storage is allocated."""
        start = self.num_tokens
        self.reserve(start + num_tokens)
        assert self._keys is not None
        assert self._values is not None
        return Tail(self._keys, self._values, start, num_tokens)

    def advance(self, num_tokens: int) -> None:
        """Take note of tokens whose states were written to the tail of the storage directly."""
        for layer in self._kv:
            layer.is_initialized = True
            layer.resize(layer.get_seq_length() + num_tokens)

    def held(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one layer in layout order, shape (n, H, D); copies."""
        self._follow()
        slots = self._index(self._slots)
        keys, values = (as_numbers(each[0, :, slots], self._floating) for each in self.storage(layer))
        return keys.transpose(0, 1), values.transpose(0, 1)

    def reserve(self, num_tokens: int) -> None:
        """Make room for ``num_tokens`` in all; copies only when capacity does not suffice."""
        if num_tokens <= self._capacity:
            return
        self._capacity = max(num_tokens, int(self._capacity * GROWTH))
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._grown(self._keys), self._grown(self._values)
        if self._originals is not None:
            self._originals = self._grown(self._originals)

    def clear(self) -> None:
        """Forget every token; storage stays."""
        self.back_to(CacheMark(0, (None,) * len(self._recurrent)))

    def mark(self) -> CacheMark:
        """Where it stands, for ``back_to``; states of fixed size are copied."""
        copies = (None if layer.states is None else layer.states.copied() for layer in self._recurrent)
        return CacheMark(self.num_tokens, tuple(copies))

    def back_to(self, mark: CacheMark) -> None:
        """Forget what was fed since; nothing may have been evicted or moved."""
        for layer in self._kv:
            layer.resize(mark.num_tokens)
        for other, states in zip(self._recurrent, mark.recurrent, strict=True):
            other.become(states)
        self._slots, self._shifts = self._slots[: mark.num_tokens], self._shifts[: mark.num_tokens]

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Copies, on the CPU, of all that ``restore`` needs; the order of slots is kept, so it is exact.

        Returns:
            Rows: ``keys`` and ``values`` (L, H, n, D), ``originals`` (L, H, m, D) of slots that have one, and
            ``slots`` int64, ``shifts`` float64, ``has_original`` bool, each (n,). Where layers have states of
            fixed size, those of all of them: ``conv`` (layers, c, w) and ``matrix`` (layers, h, k, v).
        """
        self._follow()
        if self._keys is None or self._values is None:
            return {}
        held = self.num_tokens
        marks = self._has_original[:held]
        saved = self._keys[:, :, :0] if self._originals is None else self._originals[:, :, :held]
        if self._originals is not None:
            saved = saved.index_select(2, self._index(np.flatnonzero(marks)))
        tensors = {"keys": self._keys[:, :, :held], "values": self._values[:, :, :held], "originals": saved}
        if recurrent := self.recurrent_states:
            tensors["conv"] = torch.cat([states.conv for states in recurrent])
            tensors["matrix"] = torch.cat([states.matrix for states in recurrent])
        numbers = {"slots": self._slots, "shifts": self._shifts, "has_original": marks}
        return {
            **{name: tensor.to("cpu", copy=True).contiguous() for name, tensor in tensors.items()},
            **{name: torch.from_numpy(array.copy()) for name, array in numbers.items()},
        }

    def restore(self, saved: Mapping[str, torch.Tensor], device: torch.device) -> None:
        """Become the cache of ``saved``, its snapshot; this one must be new. ValueError: another format."""
        keys, values, originals = (saved[name].to(device) for name in ("keys", "values", "originals"))
        if self._format is not None and {each.dtype for each in (keys, values, originals)} != {self._format}:
            raise ValueError(f"keys are in {keys.dtype}, not in {self._format}")
        held = keys.shape[2]
        self.reserve(held)
        self._keys, self._values = (self._zeros(each) for each in (keys, values))
        assert self._keys is not None
        assert self._values is not None
        self._keys[:, :, :held] = keys
        self._values[:, :, :held] = values
        self._slots, self._shifts = saved["slots"].numpy().copy(), saved["shifts"].numpy().copy()
        self._mark(np.arange(held), False)
        marked = np.flatnonzero(saved["has_original"].numpy())
        if len(marked):
            self._originals = torch.empty_like(self._keys)
            self._originals.index_copy_(2, self._index(marked), originals)
            self._mark(marked, True)
        for layer in self._kv:
            layer.is_initialized = True
            layer.resize(held)
        for number, other in enumerate(self._recurrent):
            conv, matrix = (saved[name][number : number + 1].to(device, copy=True) for name in RECURRENT)
            other.become(RecurrentStates(conv, matrix))

    def evict(self, kept: Sequence[TokenRange]) -> None:
        """Keep only the given ranges of the layout, in their new order, and refill freed slots.

        Tokens past the last held one (written to the layout but not yet fed) are passed over.
        """
        self._follow()
        num_before = self.num_tokens
        order = [slice(piece.start, min(piece.end, num_before)) for piece in kept if piece.start < num_before]
        self._slots = _gathered(self._slots, order)
        self._shifts = _gathered(self._shifts, order)
        num_after = len(self._slots)
        strays = np.flatnonzero(self._slots >= num_after)
        if len(strays):
            taken = np.zeros(num_after, dtype=bool)
            taken[self._slots[self._slots < num_after]] = True
            self._copy_slots(self._slots[strays], np.flatnonzero(~taken))
            self._slots[strays] = np.flatnonzero(~taken)
        for layer in self._kv:
            layer.resize(num_after)

    def shift(self, shifts: np.ndarray) -> int:
        """Rotate keys so that each token stands ``shifts`` positions behind where it was first fed.

        Args:
            shifts: float64, shape (n,), layout order.

        Returns:
            Tokens whose keys had to be rotated.
        """
        self._follow()
        moved = np.flatnonzero(np.abs(shifts - self._shifts) > SHIFT_TOLERANCE)
        if len(moved):
            self._rotate(self._slots[moved], shifts[moved])
            self._shifts[moved] = shifts[moved]
        return len(moved)

    def _follow(self) -> None:
        """Take note of tokens fed since the last call: they lie at the tail, unrotated."""
        num_known, num_held = len(self._slots), self.num_tokens
        if num_known < num_held:
            self._slots = np.concatenate([self._slots, np.arange(num_known, num_held)])
            self._shifts = np.concatenate([self._shifts, np.zeros(num_held - num_known)])
            self._mark(np.arange(num_known, num_held), False)

    def _mark(self, slots: np.ndarray, value: bool) -> None:
        """Set whether slots have an original of their own (beside the key in place)."""
        if len(self._has_original) < self._capacity:
            grown = np.zeros(self._capacity, dtype=bool)
            grown[: len(self._has_original)] = self._has_original
            self._has_original = grown
        self._has_original[slots] = value

    def _copy_slots(self, sources: np.ndarray, targets: np.ndarray) -> None:
        """Move tokens from slots to slots, originals included where they have one."""
        assert self._keys is not None
        assert self._values is not None
        source, target = self._index(sources), self._index(targets)
        for tensor in (self._keys, self._values):
            tensor.index_copy_(2, target, tensor.index_select(2, source))
        saved = self._has_original[sources]
        if self._originals is not None and saved.any():
            source, target = self._index(sources[saved]), self._index(targets[saved])
            self._originals.index_copy_(2, target, self._originals.index_select(2, source))
        self._has_original[targets] = saved

    def _rotate(self, slots: np.ndarray, shifts: np.ndarray) -> None:
        """Write into ``slots`` their original keys rotated by ``shifts`` positions."""
        assert self._keys is not None
        if self._originals is None:
            self._originals = torch.empty_like(self._keys)
        fresh = self._index(slots[~self._has_original[slots]])
        if len(fresh):
            self._originals.index_copy_(2, fresh, self._keys.index_select(2, fresh))
            self._has_original[slots] = True
        tables = self._rotation.tables(torch.from_numpy(shifts))
        cos, sin = (to_device(table, self._keys.device) for table in tables)
        index = self._index(slots)
        num_heads, head_size = self._keys.shape[1], head_size_of(self._keys)
        per_pass = max(1, MAX_ROTATED_ELEMENTS // (num_heads * head_size * len(slots)))
        for first in range(0, len(self._kv), per_pass):
            layers = slice(first, first + per_pass)
            originals = self._originals[layers].index_select(2, index)
            rotated = self._rotation.turned(as_numbers(originals, self._floating), cos, sin)
            self._keys[layers].index_copy_(2, index, as_rows(rotated, self._keys.dtype))

    def _index(self, slots: np.ndarray) -> torch.Tensor:
        assert self._keys is not None
        return to_device(torch.from_numpy(np.ascontiguousarray(slots)), self._keys.device)

    @property
    def _floating(self) -> torch.dtype:
        """The format that rows are computed with."""
        assert self._keys is not None
        return torch.float32 if self._keys.dtype is torch.int8 else self._keys.dtype

    def _zeros(self, rows: torch.Tensor) -> torch.Tensor:
        """Room for such rows (any, H, any, numbers) of all layers."""
        return rows.new_zeros((len(self._kv), rows.shape[1], self._capacity, rows.shape[3]))

    def _grown(self, tensor: torch.Tensor) -> torch.Tensor:
        grown = self._zeros(tensor)
        grown[:, :, : tensor.shape[2]] = tensor
        return grown


def _gathered(array: np.ndarray, order: Sequence[slice]) -> np.ndarray:
    return np.concatenate([array[piece] for piece in order]) if order else array[:0]
