"""Drawing words against transformers' own processors."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from svlm_cli import Sampling
from svlm_cli.errors import ModelError
from svlm_cli.model.decode import Sampler, speak, told
from svlm_cli.model.finite import scores_of

CPU = torch.device("cpu")
SEEN = (3, 5, 8, 13, 40)


def theirs(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Probabilities (v,) as ``generate`` draws from."""
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
            TemperatureLogitsWarper(sampling.temperature),
            TopKLogitsWarper(sampling.top_k),
            TopPLogitsWarper(sampling.top_p),
        ]
    )
    return torch.softmax(processors(torch.tensor([SEEN]), logits[None].float()), dim=-1)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(top_p=0.8),
        Sampling(top_k=3, temperature=0.3, repetition_penalty=1.4),
        Sampling(top_k=500, top_p=0.01, repetition_penalty=0.7),
        Sampling(top_k=7, top_p=0.5, temperature=2.0),
    ],
)
def test_probabilities_are_those_of_transformers(sampling, dtype):
    """In bfloat16 many logits tie with the k-th best."""
    sampler = Sampler(sampling, CPU)
    sampler.begin(SEEN)
    for seed in range(20):
        logits = (torch.randn(200, generator=torch.Generator().manual_seed(seed)) * 3).to(dtype)
        ids, weights = sampler.candidates(logits)
        ours = torch.zeros(200).scatter(0, ids, weights)
        torch.testing.assert_close(ours, theirs(logits, sampling))


def test_draws_follow_the_probabilities():
    sampling = Sampling(top_k=4, seed=1)
    logits = torch.tensor([0.0, 2.0, 1.0, -1.0, 0.5, 1.5])
    expected = theirs(torch.cat([logits, torch.full((40,), -30.0)]), sampling)[: len(logits)]
    sampler = Sampler(sampling, CPU)
    counts = torch.zeros(len(logits))
    for _ in range(4000):
        sampler.begin(SEEN[1:1])  # nothing seen that a penalty would move
        counts[sampler.draw(logits)] += 1
    plain = torch.softmax(logits.masked_fill(logits < 0.5, -torch.inf) / sampling.temperature, dim=0)
    assert (counts[expected == 0] == 0).all()
    torch.testing.assert_close(counts / 4000, plain, atol=0.03, rtol=0)


def test_greedy_takes_the_best_behind_the_penalty_and_leaves_logits_alone():
    sampler = Sampler(Sampling(greedy=True, repetition_penalty=2.0), CPU)
    sampler.begin([1])
    logits = torch.tensor([1.0, 1.9, -1.0, 0.9])
    kept = logits.clone()
    assert [sampler.draw(logits) for _ in range(3)] == [0, 1, 1], "0 is punished once it has been drawn"
    assert torch.equal(logits, kept)


def test_the_same_state_gives_the_same_words():
    first, second = (Sampler(Sampling(seed=5), CPU) for _ in range(2))
    logits = torch.randn(100)
    for sampler in (first, second):
        sampler.begin([])
    drawn = [first.draw(logits) for _ in range(10)]
    assert drawn == [second.draw(logits) for _ in range(10)]
    state = first.state
    then = [first.draw(logits) for _ in range(5)]
    second.state = state
    assert then == [second.draw(logits) for _ in range(5)]


def test_a_state_is_the_same_wherever_logits_live():
    """The words of a stream that was saved on a GPU go on from a CPU: its generator is the host's."""
    here, elsewhere = (Sampler(Sampling(seed=3), torch.device(name)) for name in ("cpu", "meta"))
    assert torch.equal(here.state, elsewhere.state)
    here.begin(SEEN)
    drawn = [here.draw(torch.randn(200, generator=torch.Generator().manual_seed(1))) for _ in range(5)]
    elsewhere.state = here.state
    assert torch.equal(here.state, elsewhere.state)
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("sampling", [Sampling(greedy=True), Sampling(), Sampling(top_p=0.5, top_k=2)])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("width", [1, 7, 200])
def test_logits_that_are_not_finite_end_the_turn_with_an_error(sampling, number, width):
    """Wherever among the words of a turn they come, and however many; never an IndexError, never silence."""
    good = torch.randn(200, generator=torch.Generator().manual_seed(0))
    bad = good.clone()
    bad[50 : 50 + width] = number
    for place in range(4):
        later = iter([good, good, good][:place] + [bad] + [good] * 5)
        sampler = Sampler(sampling, CPU)
        sampler.begin(SEEN, at_seconds=12.0)
        with pytest.raises(ModelError, match=r"not finite at 12\.0 s"):
            told(
                speak(next(later), sampler, 5, lambda _token: False), lambda _token, later=later: next(later)
            )


def test_a_turn_has_no_part_in_the_one_before():
    """An error is told once, and finite logits are none, however large."""
    sampler = Sampler(Sampling(greedy=True), CPU)
    sampler.begin(())
    sampler.draw(torch.full((9,), float("nan")))
    with pytest.raises(ModelError):
        sampler.end()
    sampler.begin(())
    sampler.draw(torch.tensor([3e38, -3e38, 1.0]))
    sampler.end()


def test_scores_look_at_all_logits_and_not_at_the_candidates_alone():
    logits = torch.arange(9.0)
    assert scores_of(logits, [3, 1]).tolist() == [3.0, 1.0]
    logits[5] = float("inf")
    with pytest.raises(ModelError, match=r"not finite: damaged"):
        scores_of(logits, [3, 1])
