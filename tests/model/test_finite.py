"""Weights and logits that are not finite, without a model."""

from __future__ import annotations

import pytest
import torch

from svlm_cli.errors import ModelError
from svlm_cli.model.finite import LogitsCheck, check_finite_weights

NUMBERS = [float("nan"), float("inf"), -float("inf")]


def layers() -> torch.nn.Sequential:
    network = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 3))
    network.register_parameter("nothing", torch.nn.Parameter(torch.empty(0)))
    return network


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("number", NUMBERS)
def test_one_weight_among_many_is_named_by_its_tensor(number, dtype) -> None:
    network = layers().to(dtype)
    check_finite_weights(network, "whole")
    network[0].weight.data[:] = 3e38  # large is not infinite
    check_finite_weights(network, "large")
    network[1].bias.data[1] = number
    with pytest.raises(ModelError) as caught:
        check_finite_weights(network, "mine")
    assert caught.value.message == (  # the empty one is none of them
        "the weights of the model mine are damaged: 1 of 4 tensors hold numbers that are not finite, "
        "the first is 1.bias"
    )


@pytest.mark.parametrize("number", NUMBERS)
def test_logits_are_noted_as_they_come_and_read_once(number) -> None:
    check = LogitsCheck(12.0)
    buffer = torch.zeros(9)  # as a CUDA graph's: the next word overwrites it
    for value in (0.0, number, 1.0):
        buffer[4] = value
        check.note(buffer)
    with pytest.raises(ModelError, match=r"not finite at 12\.0 s"):
        check.read()
    check.read()


def test_where_there_is_no_time_none_is_told() -> None:
    check = LogitsCheck()
    check.note(torch.full((3,), float("nan")))
    with pytest.raises(ModelError, match="not finite: "):
        check.read()
