"""The head on trained rows, by a transformers that can and by one that cannot."""

from __future__ import annotations

import pytest
import torch
import transformers

from svlm_cli.train.learner import new_tokenizer
from svlm_cli.train.rows import keep_trained_rows
from tests.train.small import network


def test_rows_are_those_of_a_newer_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    newer, older = (network(new_tokenizer()) for _ in range(2))
    keep_trained_rows(newer)
    monkeypatch.delattr(transformers.modeling_utils, "slice_logits_to_keep")
    keep_trained_rows(older)
    assert not newer._forward_pre_hooks
    dice = torch.Generator().manual_seed(2)
    for shape in ((3, 9), (1, 5)):
        ids = torch.randint(0, 40, shape, generator=dice)
        rows = torch.rand(shape, generator=dice) < 0.4
        rows[:, 0] = True
        expected = newer(input_ids=ids, logits_to_keep=rows).logits
        found = older(input_ids=ids, logits_to_keep=rows).logits
        assert found.shape == (int(rows.sum()), newer.config.text_config.vocab_size)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    every = older(input_ids=ids).logits
    torch.testing.assert_close(every[rows], expected, rtol=1e-5, atol=1e-5)


def test_a_forward_that_failed_leaves_no_rows_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(transformers.modeling_utils, "slice_logits_to_keep")
    older = network(new_tokenizer())
    keep_trained_rows(older)
    ids = torch.tensor([[1, 2, 3]])
    with pytest.raises((RuntimeError, IndexError)):
        older(input_ids=ids + 10**6, logits_to_keep=ids > 1)
    assert older(input_ids=ids).logits.shape[1] == 3
