"""Prompt, window rule and positions against three walks of the public reference."""

from __future__ import annotations

import json
import lzma

import numpy as np
import pytest

from svlm_cli.model.family.markup import find_markup
from svlm_cli.model.positions import time_stride
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.model.random_checkpoint import open_vocabulary
from svlm_cli.model.window import WindowLimits, middle_cut
from svlm_cli.stream.context import Context


@pytest.fixture(scope="module")
def walks(shared_data):
    return json.loads(lzma.decompress((shared_data / "golden" / "reference_walks.json.xz").read_bytes()))


@pytest.fixture(scope="module")
def writer():
    pytest.importorskip("dashscope", reason="the real Qwen vocabulary is in the dashscope package")
    tokenizer = open_vocabulary(None)
    return PromptWriter(tokenizer, find_markup(tokenizer))


@pytest.mark.parametrize("name", ["evict", "vis_gt_text", "dots_text_gt_vis"])
def test_context_and_positions_equal_the_reference(walks, writer, name):
    setup, steps = walks[name]["settings"], walks[name]["steps"]
    limits = WindowLimits(setup["sink"], setup["text_window"], setup["vision_window"], setup["rounds"])
    stride = time_stride(setup["fps"], 2, setup["tokens_per_second"])
    frames, height, width = setup["grid_thw"]
    grid = (frames, height // setup["merge"], width // setup["merge"])
    context = Context(stride)
    for step in steps:
        turn = step["step"]
        if turn == 0:
            num_tokens = len(writer.encode(setup["previous_text"]))
            context.append(writer.opening(setup["previous_text"], middle_cut(num_tokens, limits)))
        else:
            context.evict(turn, limits)
            context.append([writer.turn_break(turn - 1)])
        query = setup["query"] if turn == 0 else ""
        context.append(writer.turn(turn, float(turn), turn + 1.0, grid, query))
        expected = [token for token, count in step["context_ids_rle"] for _ in range(count)]
        assert context.ids.tolist() == expected, f"step {turn}"
        np.testing.assert_allclose(context.rows(), step["position_ids"], atol=1e-9)
        context.append(writer.answer_parts(turn, writer.read_answer(step["generated_ids"])))
