"""llama.cpp through llama-cpp-python: a cache in float16, flash attention in the tower alone."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp

from benchmarks.peer_parts.gguf_files import write_files
from benchmarks.peer_parts.shapes import GRID, MOST_CACHED, pictures, read_checkpoint, states

MICRO_BATCH = 512
PLAIN, FLASH = 0, 1  # llama_flash_attn_type: the faster way for the language model, for the tower
FLOAT16 = int(gguf.GGMLQuantizationType.F16)
MARKER = b"<__media__>"


class Engine:
    """See ``serve.Engine``."""

    def __init__(self, number_format: str, checkpoint: Path, folder: Path, _cache: str) -> None:
        read = read_checkpoint(checkpoint)
        text = read.text
        self._layers, self._heads = text["num_hidden_layers"], text["num_key_value_heads"]
        self._size, self._vocabulary, self._width = read.head_size, text["vocab_size"], text["hidden_size"]
        paths = [str(each).encode() for each in write_files(read, number_format, folder)]
        llama_cpp.llama_backend_init()
        self._model = _made(
            llama_cpp.llama_model_load_from_file(paths[0], llama_cpp.llama_model_default_params())
        )
        how = llama_cpp.llama_context_default_params()
        how.n_ctx = -(-MOST_CACHED // 256) * 256
        how.n_batch, how.n_ubatch = 2048, MICRO_BATCH
        how.n_threads = how.n_threads_batch = 1
        how.flash_attn_type = PLAIN
        self._context = _made(llama_cpp.llama_init_from_model(self._model, how))
        self._memory = llama_cpp.llama_get_memory(self._context)
        seen = mtmd_cpp.mtmd_context_params_default()
        seen.use_gpu, seen.n_threads, seen.flash_attn_type, seen.warmup = False, 1, FLASH, False
        self._tower = _made(mtmd_cpp.mtmd_init_from_file(paths[1], self._model, seen))
        self._batch = llama_cpp.llama_batch_init(2048, 0, 1)
        self._held = 0

    def told(self) -> dict[str, str]:
        """See ``serve.Engine``."""
        features = llama_cpp.llama_print_system_info().decode()
        return {"version": llama_cpp.__version__, "cache": "float16", "features": features}

    def fill(self, cached: int) -> None:
        """See ``serve.Engine``."""
        llama_cpp.llama_memory_clear(self._memory, True)
        self._held = cached
        if not cached:
            return
        saved = self._state(cached)
        buffer = (ctypes.c_uint8 * len(saved)).from_buffer(saved)
        taken = llama_cpp.llama_state_seq_set_data(self._context, buffer, len(saved), 0)
        last = llama_cpp.llama_memory_seq_pos_max(self._memory, 0)
        if taken != len(saved) or last != cached - 1:
            raise ValueError(f"a state of {len(saved)} bytes: {taken} taken, the last position is {last}")

    def _state(self, cached: int) -> bytearray:
        """Keys and values in the form of ``llama_state_seq_get_data``: a head, one stream, cells, layers."""
        head = (ctypes.c_uint8 * llama_cpp.llama_state_seq_get_size(self._context, 0))()
        llama_cpp.llama_state_seq_get_data(self._context, head, len(head), 0)
        saved = bytearray(bytes(head)[:8]) + struct.pack("<II", 1, cached)
        places = np.zeros((cached, 3), dtype=np.int32)
        places[:, 0], places[:, 1] = np.arange(cached), 1  # position, number of sequences, sequence
        saved += places.tobytes() + struct.pack("<II", 1, self._layers)
        for which in (0, 1):
            for layer in range(self._layers):
                values = states(cached, self._heads, self._size, 2 * layer + which)[0]
                rows = values.transpose(1, 0, 2).reshape(cached, -1).astype(np.float16)
                if which:  # values lie dimension after dimension
                    saved += struct.pack("<iII", FLOAT16, 2, rows.shape[1]) + rows.T.tobytes()
                else:
                    saved += struct.pack("<iQ", FLOAT16, rows.shape[1] * 2) + rows.tobytes()
        return saved

    def feed(self, ids: list[int]) -> np.ndarray:
        """See ``serve.Engine``."""
        batch = self._batch
        batch.n_tokens = len(ids)
        for number, token in enumerate(ids):
            batch.token[number], batch.pos[number] = token, self._held + number
            batch.n_seq_id[number], batch.seq_id[number][0] = 1, 0
            batch.logits[number] = number + 1 == len(ids)
        if llama_cpp.llama_decode(self._context, batch):
            raise ValueError("llama_decode fails")
        self._held += len(ids)
        logits = llama_cpp.llama_get_logits_ith(self._context, len(ids) - 1)
        return np.ctypeslib.as_array(logits, (self._vocabulary,))

    def show(self, pairs: int) -> Callable[[], np.ndarray]:
        """See ``serve.Engine``."""
        count = GRID[0] * GRID[1] // 4
        chunks = [self._chunk(picture) for picture in pictures(pairs)]

        def run() -> np.ndarray:
            found = []
            for chunk in chunks:
                if mtmd_cpp.mtmd_encode_chunk(self._tower, chunk):
                    raise ValueError("mtmd_encode_chunk fails")
                features = mtmd_cpp.mtmd_get_output_embd(self._tower)
                found.append(np.ctypeslib.as_array(features, (count, self._width)).copy())
            return np.concatenate(found)

        return run

    def _chunk(self, picture: np.ndarray) -> object:
        """A picture as it is encoded: one, which stands for both frames of its pair."""
        height, width, _ = picture.shape
        pixels = (ctypes.c_uint8 * picture.size).from_buffer_copy(picture.tobytes())
        bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(mtmd_cpp.mtmd_bitmap_init(width, height, pixels))
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        text = mtmd_cpp.mtmd_input_text(MARKER, len(MARKER), False, True)
        if mtmd_cpp.mtmd_tokenize(self._tower, chunks, ctypes.byref(text), bitmaps, 1):
            raise ValueError("mtmd_tokenize fails")
        for number in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
            chunk = mtmd_cpp.mtmd_input_chunks_get(chunks, number)
            if mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                return chunk
        raise ValueError("mtmd_tokenize gives no picture")

    def floor(self, _cached: int, _new: int, _pairs: int) -> float | None:
        """See ``serve.Engine``."""
        return None


def _made(made: object) -> object:
    if not made:
        raise ValueError("llama.cpp cannot open what was written for it")
    return made
