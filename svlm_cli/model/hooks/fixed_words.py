"""Feeding one generated word at a time in shapes that never change.

The plain way is ``VideoLanguageModel.forward`` over the tokens held. The fixed way reads the whole of the
cache's storage under a mask and writes its one token into a slot that a tensor names: no shape and no number
in the host's hands changes from word to word, so the network can be compiled once (``torch.compile``) and, on
CUDA, captured once and replayed (CUDA graphs). Both give the same logits.

Shape legend: L = layers, H = key/value heads, C = capacity in tokens, D = head size, v = vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from svlm_cli.errors import ModelError, UsageError
from svlm_cli.model.attention import GROUPED
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.family.parts import language_part
from svlm_cli.model.family.table import has_rows, recurrent_layers
from svlm_cli.model.hooks.cache import cache_of
from svlm_cli.model.states.recurrent import RecurrentLayer, RecurrentStates, no_recurrent_states
from svlm_cli.model.words import no_states

RUNS_BEFORE_CAPTURE = 3
MOST_CAPACITIES = 256  # that one process may compile for; torch's own limit is 8
AUTO, ON, OFF = "auto", "on", "off"
Pairs = tuple[tuple[torch.Tensor, torch.Tensor], ...]


class WordForward:
    """The language model over one token, in shapes that hang on the capacity alone; one for all streams.

    Args:
        network: Hugging Face model whose text attention is ``GROUPED``.
        compiled: run it through ``torch.compile``.
        graphs: capture it as CUDA graphs, one for each stream.

    Raises:
        UsageError: the attention is another, which cannot read a storage under a mask.
    """

    def __init__(self, network: Any, *, compiled: bool, graphs: bool) -> None:
        if network.config.text_config._attn_implementation != GROUPED:
            raise UsageError(
                "--compile and --graphs on need svlm's own attention",
                "leave them out, or use --attention sdpa",
            )
        self.network = network
        self.recurrent = recurrent_layers(network.config)
        self.has_rows = has_rows(network.config)
        self.compiled = compiled
        self.graphs = graphs
        self.device = torch.device(network.device)
        self._run = torch.compile(self._logits, fullgraph=True, dynamic=False) if compiled else self._logits

    def __call__(
        self,
        token: torch.Tensor,
        position: torch.Tensor,
        slot: torch.Tensor,
        storage: Pairs,
        recurrent: Pairs = (),
    ) -> torch.Tensor:
        """Write the token's states into ``slot`` and attend to all slots up to it.

        Args:
            token: int64, shape (1,).
            position: float32, shape (3, 1, 1).
            slot: int64, shape (1,).
            storage: keys and values of each layer that has some, shape (1, H, C, D); finite everywhere.
            recurrent: the states of the other layers, ``RecurrentStates``; written over.

        Returns:
            Logits, shape (v,).

        Raises:
            ModelError: it cannot be compiled here.
        """
        if not self.compiled:
            return self._logits(token, position, slot, storage, recurrent)
        try:
            return self._run(token, position, slot, storage, recurrent)
        except torch._dynamo.exc.FailOnRecompileLimitHit as error:
            raise ModelError(
                f"the language model was compiled for {MOST_CAPACITIES} sizes of the cache in this process",
                "leave --compile out, or start anew",
            ) from error
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(
                f"the language model cannot be compiled here: {reason}",
                "leave --compile out; on a CPU it needs a C++ compiler (g++) and Python's headers",
            ) from error

    def may_compile(self) -> AbstractContextManager[object]:
        """Where a size of the cache is met for the first time."""
        if not self.compiled:
            return nullcontext()
        return torch._dynamo.config.patch(recompile_limit=MOST_CAPACITIES)  # type: ignore[no-any-return]

    def _logits(
        self,
        token: torch.Tensor,
        position: torch.Tensor,
        slot: torch.Tensor,
        storage: Pairs,
        recurrent: Pairs,
    ) -> torch.Tensor:
        language = language_part(self.network)
        seen = torch.arange(storage[0][0].shape[2], device=slot.device) <= slot
        output = language(
            inputs_embeds=language.embed_tokens(token)[None],
            position_ids=position if self.has_rows else position[0],
            attention_mask=seen[None, None, None],
            past_key_values=_fixed_cache(storage, slot, recurrent, self.recurrent),
            use_cache=True,
        )
        return self.network.lm_head(output.last_hidden_state[:, -1])[0]  # type: ignore[no-any-return]


class FixedWords:
    """The same over the whole storage.

    Args:
        forward: the model's.
        cache: the cache of the stream.
    """

    def __init__(self, forward: WordForward, cache: StreamingCache) -> None:
        self._forward = forward
        self._cache = cache
        self._storage: Pairs = ()
        self._recurrent: Pairs = ()
        self._capacity = 0
        self._replay: Callable[[], torch.Tensor] | None = None
        self._token = torch.zeros(1, dtype=torch.long, device=forward.device)
        self._position = torch.zeros(3, 1, 1, device=forward.device)
        self._slot = torch.zeros(1, dtype=torch.long, device=forward.device)

    def prepare(self) -> None:
        """Compile and capture for the storage there is; again where it has grown since."""
        self._cache.reserve(self._cache.num_tokens + 1)
        if self._capacity == self._cache.capacity:
            return
        self._capacity, before = self._cache.capacity, self._cache.mark()
        network = self._forward.network
        self._cache.allocate(*no_states(network), no_recurrent_states(language_part(network)))
        self._storage = tuple(self._cache.storage(layer) for layer in range(self._cache.num_kv_layers))
        self._recurrent = tuple((held.conv, held.matrix) for held in self._cache.recurrent_memory())
        self._slot.fill_(self._cache.num_tokens)  # a free one: what is written there is nobody's
        with self._forward.may_compile():
            self._run()
        if self._forward.graphs:
            self._replay = captured(self._run, self._forward.device)
        self._cache.back_to(before)  # states of fixed size have no free slot

    def feed(self, token: int, position: float) -> torch.Tensor:
        """See ``Words``."""
        self.prepare()
        self._token.fill_(token)
        self._position.fill_(position)
        self._slot.fill_(self._cache.num_tokens)
        logits = (self._replay or self._run)()
        self._cache.advance(1)
        return logits

    def _run(self) -> torch.Tensor:
        return self._forward(self._token, self._position, self._slot, self._storage, self._recurrent)


class _FixedLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer of the storage: transformers' cache-layer contract for one token at a named slot."""

    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, slot: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values, self._slot = keys, values, slot
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """It is there."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: object, **_kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write states (1, H, 1, D) into the slot; keys and values of all slots, (1, H, C, D)."""
        self.keys.index_copy_(2, self._slot, key_states)
        self.values.index_copy_(2, self._slot, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, _query_length: int) -> tuple[int, int]:
        """All slots."""
        return self.keys.shape[2], 0

    def get_seq_length(self) -> int:
        """Unknown to the host, and asked for by nobody who is given positions and a mask."""
        return 0

    def get_max_length(self) -> int:
        """Slots."""
        return int(self.keys.shape[2])


def _fixed_cache(storage: Pairs, slot: torch.Tensor, recurrent: Pairs, places: tuple[int, ...]) -> Cache:
    layers: list[Any] = [_FixedLayer(keys, values, slot) for keys, values in storage]
    for place, (conv, matrix) in zip(places, recurrent, strict=True):
        layers.insert(place, RecurrentLayer(RecurrentStates(conv, matrix)))
    return cache_of(layers)


def word_forward(network: Any, *, compiled: bool, graphs: str) -> WordForward | None:
    """What ``--compile`` and ``--graphs`` ask for; None for the plain way.

    Raises:
        UsageError: graphs without CUDA, or an attention kernel that allows neither.
    """
    is_cuda = network.device.type == "cuda"
    if graphs not in (AUTO, ON, OFF):
        raise UsageError(f"--graphs {graphs} is not known", f"use {AUTO}, {ON} or {OFF}")
    if graphs == ON and not is_cuda:
        raise UsageError("--graphs on needs --device cuda", "leave it out: auto is off on the CPU")
    if graphs == AUTO:
        graphs = ON if is_cuda and network.config.text_config._attn_implementation == GROUPED else OFF
    if not compiled and graphs == OFF:
        return None
    return WordForward(network, compiled=compiled, graphs=graphs == ON)


def captured(run: Callable[[], torch.Tensor], device: torch.device) -> Callable[[], torch.Tensor]:
    """A CUDA graph of ``run``; its replay.

    Streams and graphs are those of the current device, which need not be the model's; and only this thread is
    kept from what a capture does not bear, as another one may be running the vision tower. The stream is of
    high priority: torch hands out the same 32 of each priority in turn, and the tower's must not be this one.

    Raises:
        ModelError: CUDA refuses.
    """
    try:
        with torch.cuda.device(device):
            side = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(RUNS_BEFORE_CAPTURE):
                    run()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                logits = run()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"a CUDA graph of the language model cannot be captured: {reason}", "use --graphs off"
        ) from error

    def replay() -> torch.Tensor:
        with torch.cuda.device(device):
            graph.replay()
        return logits

    return replay
