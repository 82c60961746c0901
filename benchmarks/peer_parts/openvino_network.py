"""Qwen2.5-VL out of OpenVINO's own operations: what its converters make of the model in transformers.

The language model is stateful (ReadValue, Gather by beam, Concat, Assign, as optimum-intel exports it), its
positions one a token, its head on the last row alone. The tower is for one grid of pictures: its windows
are brought together by shape, so that each is attended without a mask.

Shape legend: m = new tokens, d = hidden size, n = patches of a pair, p = pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino
from openvino import opset13 as op
from openvino.op.util import Variable, VariableInfo

from benchmarks.peer_parts.shapes import GRID, Checkpoint

Node = openvino.Node


def constant(values: object, kind: type = np.float32) -> Node:
    """A constant of numbers."""
    return op.constant(np.asarray(values, dtype=kind))


def whole(*values: int) -> Node:
    """A constant of whole numbers."""
    return constant(list(values), np.int64)


def _input(name: str, kind: type, *shape: int) -> Node:
    made = op.parameter(list(shape), kind)
    made.output(0).set_names({name})
    return made


def linear(rows: Node, weight: np.ndarray, bias: np.ndarray | None = None) -> Node:
    """Rows times a weight (out, in)."""
    product = op.matmul(rows, constant(weight), False, True)
    return product if bias is None else op.add(product, constant(bias))


def normed(rows: Node, weight: np.ndarray, epsilon: float) -> Node:
    """RMS norm over the last axis."""
    square = op.reduce_mean(op.power(rows, constant(2.0)), whole(-1), keep_dims=True)
    scale = op.divide(constant(1.0), op.sqrt(op.add(square, constant(epsilon))))
    return op.multiply(constant(weight), op.multiply(rows, scale))


def turned(heads: Node, cos: Node, sin: Node, size: int) -> Node:
    """Rotated by position; heads (..., size), whose second half belongs to the first."""
    half, end, step, last = (whole(each) for each in (size // 2, np.iinfo(np.int64).max, 1, 3))
    first, second = op.slice(heads, whole(0), half, step, last), op.slice(heads, half, end, step, last)
    halves = op.concat([op.multiply(second, constant(-1.0)), first], -1)
    return op.add(op.multiply(heads, cos), op.multiply(halves, sin))


def gated(rows: Node, gate: np.ndarray, up: np.ndarray, biases: Sequence[np.ndarray | None]) -> Node:
    """SwiGLU."""
    return op.multiply(op.swish(linear(rows, gate, biases[0])), linear(rows, up, biases[1]))


@dataclass(slots=True)
class _Inputs:
    """What all layers of the language model share: the beam, angles (1, 1, m, D), the mask (1, 1, m, n)."""

    beam: Node
    cos: Node
    sin: Node
    mask: Node
    batch: Node


def language_model(checkpoint: Checkpoint) -> openvino.Model:
    """Inputs ``inputs_embeds`` (1, m, d), ``position_ids`` (1, m), ``attention_mask`` (1, all tokens), both
    int64, and ``beam_idx`` (1,), int32; gives ``logits`` (1, 1, v). States in the order of the layers, keys
    before values."""
    text, size = checkpoint.text, checkpoint.head_size
    rows = _input("inputs_embeds", np.float32, -1, -1, text["hidden_size"])
    places = _input("position_ids", np.int64, -1, -1)
    known = _input("attention_mask", np.int64, -1, -1)
    beam = _input("beam_idx", np.int32, -1)
    inputs = _inputs(rows, places, known, beam, text["rope_parameters"]["rope_theta"], size)
    hidden, sinks = rows.output(0), []
    for number in range(text["num_hidden_layers"]):
        hidden = _layer(hidden, checkpoint, number, inputs, sinks)
    last = op.gather(hidden, whole(-1), constant(1, np.int64))
    last = normed(last, checkpoint.tensors["model.norm.weight"], text["rms_norm_eps"])
    logits = op.result(linear(last, checkpoint.tensors["model.embed_tokens.weight"]))
    logits.output(0).set_names({"logits"})
    return openvino.Model([logits], sinks, [rows, places, known, beam], "language")


def _inputs(rows: Node, places: Node, known: Node, beam: Node, theta: float, size: int) -> _Inputs:
    frequencies = 1.0 / theta ** (np.arange(0, size, 2, dtype=np.float32) / size)
    angles = op.multiply(
        op.convert(op.unsqueeze(places, whole(2)), np.float32), constant(frequencies[None, None])
    )
    both = op.unsqueeze(op.concat([angles, angles], -1), whole(1))
    length = op.gather(op.shape_of(known), whole(1), constant(0, np.int64))
    held = op.range(constant(0, np.int64), op.squeeze(length, whole(0)), constant(1, np.int64), "i64")
    seen = op.less_equal(op.unsqueeze(held, whole(0, 1, 2)), op.unsqueeze(places, whole(1, 3)))
    mask = op.select(seen, constant(0.0), constant(np.finfo(np.float32).min))
    batch = op.gather(op.shape_of(rows), whole(0), constant(0, np.int64))
    return _Inputs(beam, op.cos(both), op.sin(both), mask, batch)


def _layer(rows: Node, checkpoint: Checkpoint, number: int, inputs: _Inputs, sinks: list[Node]) -> Node:
    text, size = checkpoint.text, checkpoint.head_size
    own = checkpoint.pick(f"model.layers.{number}.")
    counts = {"q": text["num_attention_heads"], "k": text["num_key_value_heads"]}
    counts["v"] = counts["k"]
    heads = {}
    before = normed(rows, own["input_layernorm.weight"], text["rms_norm_eps"])
    for name, count in counts.items():
        flat = linear(before, own[f"self_attn.{name}_proj.weight"], own[f"self_attn.{name}_proj.bias"])
        split = op.reshape(flat, whole(0, 0, count, size), True)
        heads[name] = op.transpose(split, whole(0, 2, 1, 3))
    for name in "qk":
        heads[name] = turned(heads[name], inputs.cos, inputs.sin, size)
    key, value = (
        _spread(
            _held(heads[name], f"{number}.{name}", counts["k"], size, inputs, sinks),
            counts["q"] // counts["k"],
            counts["q"],
            size,
        )
        for name in "kv"
    )
    seen = op.scaled_dot_product_attention(heads["q"], key, value, inputs.mask)
    flat = op.reshape(op.transpose(seen, whole(0, 2, 1, 3)), whole(0, 0, counts["q"] * size), True)
    rows = op.add(rows, linear(flat, own["self_attn.o_proj.weight"]))
    before = normed(rows, own["post_attention_layernorm.weight"], text["rms_norm_eps"])
    wide = gated(before, own["mlp.gate_proj.weight"], own["mlp.up_proj.weight"], (None, None))
    return op.add(rows, linear(wide, own["mlp.down_proj.weight"]))


def _held(new: Node, name: str, count: int, size: int, inputs: _Inputs, sinks: list[Node]) -> Node:
    """New keys or values behind those of before."""
    info = VariableInfo()
    info.data_shape = openvino.PartialShape([-1, count, -1, size])
    info.data_type = openvino.Type.f32
    info.variable_id = name
    variable = Variable(info)
    shape = op.concat([inputs.batch, whole(count), whole(0), whole(size)], 0)
    past = op.read_value(op.broadcast(constant(0.0), shape), variable)
    all_of_them = op.concat([op.gather(past, inputs.beam, constant(0, np.int64)), new], 2)
    sinks.append(op.assign(all_of_them, variable))
    return all_of_them


def _spread(states: Node, shared: int, heads: int, size: int) -> Node:
    """Keys or values (1, H, n, D) once for each of the ``heads`` query heads, which share them."""
    spread = op.broadcast(
        op.unsqueeze(states, whole(2)), whole(1, 1, shared, 1, 1), broadcast_spec="BIDIRECTIONAL"
    )
    return op.reshape(spread, whole(0, heads, -1, size), True)


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Of a picture: its tokens with windows of one shape together, and (windows, tokens) of each shape."""

    order: np.ndarray
    runs: tuple[tuple[int, int], ...]


def windows_of(height: int, width: int, side: int) -> _Windows:
    """Of (height, width) tokens, cut into windows of ``side`` x ``side``."""
    grid = np.arange(height * width).reshape(height, width)
    cut = [
        grid[top : top + side, left : left + side].ravel()
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    lengths = sorted({len(window) for window in cut}, reverse=True)
    alike = [[window for window in cut if len(window) == length] for length in lengths]
    order = np.concatenate([window for windows in alike for window in windows])
    return _Windows(order, tuple((len(windows), len(windows[0])) for windows in alike))


def tower(checkpoint: Checkpoint) -> openvino.Model:
    """Input ``patches`` (p, n, values); gives ``features`` (p, tokens, d of the language model)."""
    vision, own = checkpoint.vision, checkpoint.pick("visual.")
    merge = vision["spatial_merge_size"]
    side = vision["window_size"] // merge // vision["patch_size"]
    windows = windows_of(GRID[0] // merge, GRID[1] // merge, side)
    weight = own["patch_embed.proj.weight"]
    weight = weight.reshape(len(weight), -1)
    pixels = _input("patches", np.float32, -1, GRID[0] * GRID[1], weight.shape[1])
    order = (windows.order[:, None] * merge**2 + np.arange(merge**2)).ravel()
    rows = op.gather(linear(pixels, weight), whole(*order), constant(1, np.int64))
    cos, sin = _tower_angles(vision, order)
    for number in range(vision["depth"]):
        runs = ((1, len(order)),)
        if number not in vision["fullatt_block_indexes"]:
            runs = tuple((count, length * merge**2) for count, length in windows.runs)
        rows = _block(rows, checkpoint.pick(f"visual.blocks.{number}."), vision, (cos, sin), runs)
    rows = op.reshape(
        normed(rows, own["merger.ln_q.weight"], 1e-6),
        whole(0, len(windows.order), merge**2 * vision["hidden_size"]),
        True,
    )
    wide = op.gelu(linear(rows, own["merger.mlp.0.weight"], own["merger.mlp.0.bias"]), "ERF")
    features = linear(wide, own["merger.mlp.2.weight"], own["merger.mlp.2.bias"])
    found = op.result(op.gather(features, whole(*windows.order.argsort()), constant(1, np.int64)))
    found.output(0).set_names({"features"})
    return openvino.Model([found], [pixels], "tower")


def _tower_angles(vision: dict[str, object], order: np.ndarray) -> tuple[Node, Node]:
    """Cosines and sines (1, n, 1, D) of patches in the tower's order."""
    size = int(vision["hidden_size"]) // int(vision["num_heads"])  # type: ignore[call-overload]
    merge = int(vision["spatial_merge_size"])  # type: ignore[call-overload]
    theta = float(vision["rope_parameters"]["rope_theta"])  # type: ignore[index]
    rows, columns = (
        each.reshape(GRID[0] // merge, merge, GRID[1] // merge, merge).transpose(0, 2, 1, 3).ravel()[order]
        for each in np.meshgrid(*(np.arange(side) for side in GRID), indexing="ij")
    )
    frequencies = 1.0 / theta ** (np.arange(0, size // 2, 2, dtype=np.float32) / (size // 2))
    angles = np.concatenate([np.outer(each, frequencies) for each in (rows, columns)], axis=1)
    both = np.concatenate([angles, angles], axis=1)[None, :, None]
    return constant(np.cos(both)), constant(np.sin(both))


def _block(
    rows: Node,
    own: dict[str, np.ndarray],
    vision: dict[str, int],
    angles: tuple[Node, Node],
    runs: Sequence[tuple[int, int]],
) -> Node:
    count, width = vision["num_heads"], vision["hidden_size"]
    size, names = width // count, ("gate_proj", "up_proj")
    flat = linear(normed(rows, own["norm1.weight"], 1e-6), own["attn.qkv.weight"], own["attn.qkv.bias"])
    parts = op.variadic_split(flat, constant(-1, np.int64), whole(width, width, width)).outputs()
    query, key, value = (op.reshape(part, whole(0, 0, count, size), True) for part in parts)
    query, key = (turned(each, *angles, size) for each in (query, key))
    lengths = whole(*(windows * length for windows, length in runs))
    split = [
        op.variadic_split(each, constant(1, np.int64), lengths).outputs() for each in (query, key, value)
    ]
    seen = []
    for (windows, length), *three in zip(runs, *split, strict=True):
        heads = [
            op.transpose(op.reshape(each, whole(-1, length, count, size), False), whole(0, 2, 1, 3))
            for each in three
        ]
        found = op.transpose(op.scaled_dot_product_attention(*heads), whole(0, 2, 1, 3))
        seen.append(op.reshape(found, whole(-1, windows * length, width), False))
    joined = seen[0] if len(seen) == 1 else op.concat(seen, 1)
    rows = op.add(rows, linear(joined, own["attn.proj.weight"], own["attn.proj.bias"]))
    weights, biases = ([own[f"mlp.{name}.{kind}"] for name in names] for kind in ("weight", "bias"))
    wide = gated(normed(rows, own["norm2.weight"], 1e-6), *weights, biases)
    return op.add(rows, linear(wide, own["mlp.down_proj.weight"], own["mlp.down_proj.bias"]))
