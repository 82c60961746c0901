"""OpenVINO on the CPU: its own operations, its hints for latency, its own defaults for the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
from openvino import properties
from openvino.properties import hint

from benchmarks.peer_parts.openvino_network import language_model, tower
from benchmarks.peer_parts.shapes import GRID, patches, read_checkpoint, states

PRECISIONS = {"float32": openvino.Type.f32, "bfloat16": openvino.Type.bf16, "int8": openvino.Type.bf16}


class Engine:
    """See ``serve.Engine``."""

    def __init__(self, number_format: str, checkpoint: Path, _folder: Path, cache: str) -> None:
        read = read_checkpoint(checkpoint)
        self._table = read.tensors["model.embed_tokens.weight"]
        self._heads, self._size = read.text["num_key_value_heads"], read.head_size
        how = {
            hint.performance_mode: hint.PerformanceMode.LATENCY,
            hint.inference_precision: PRECISIONS[number_format],
            properties.inference_num_threads: 1,
            properties.num_streams: 1,
        }
        if cache == "same":
            how[hint.kv_cache_precision] = PRECISIONS[number_format]
        self._compiled = []
        for model in (language_model(read), tower(read)):
            if number_format == "int8":
                model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
            self._compiled.append(openvino.Core().compile_model(model, "CPU", how))
        self._request, self._tower = (each.create_infer_request() for each in self._compiled)
        self._held = 0

    def told(self) -> dict[str, str]:
        """See ``serve.Engine``."""
        told = {"version": openvino.__version__.split("-")[0]}
        for name in ("KV_CACHE_PRECISION", "INFERENCE_PRECISION_HINT", "DYNAMIC_QUANTIZATION_GROUP_SIZE"):
            told[name.lower()] = _text(self._compiled[0].get_property(name))
        own = self._compiled[0].get_runtime_model().get_ops()
        kinds = {each.get_rt_info()["layerType"].value for each in own}
        told["attention"] = ", ".join(sorted(each for each in kinds if "Attention" in each))
        return told

    def fill(self, cached: int) -> None:
        """See ``serve.Engine``."""
        self._request.reset_state()
        self._held = cached
        for state in self._request.query_state() if cached else ():
            layer, which = state.name.split(".")
            seed = 2 * int(layer) + (which == "v")
            state.state = openvino.Tensor(states(cached, self._heads, self._size, seed))

    def feed(self, ids: list[int]) -> np.ndarray:
        """See ``serve.Engine``."""
        places = np.arange(self._held, self._held + len(ids), dtype=np.int64)[None]
        self._held += len(ids)
        given: dict[str, Any] = {
            "inputs_embeds": self._table[ids][None],
            "position_ids": places,
            "attention_mask": np.ones((1, self._held), dtype=np.int64),
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        return np.asarray(self._request.infer(given, share_inputs=True, share_outputs=True)["logits"])[0, 0]

    def show(self, pairs: int) -> Callable[[], np.ndarray]:
        """See ``serve.Engine``."""
        shown = patches(pairs).reshape(pairs, GRID[0] * GRID[1], -1)

        def run() -> np.ndarray:
            found = [
                self._tower.infer({"patches": pair[None]}, share_inputs=True)["features"][0] for pair in shown
            ]
            return np.concatenate(found)

        return run

    def floor(self, _cached: int, _new: int, _pairs: int) -> float | None:
        """See ``serve.Engine``."""
        return None


def _text(value: object) -> str:
    return value.get_type_name() if isinstance(value, openvino.Type) else str(value)
