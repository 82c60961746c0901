from __future__ import annotations

import torch

from svlm_cli.sections import NewModel
from svlm_cli.train.arena.seedling import new_seedling
from svlm_cli.train.learner import new_tokenizer

LENGTH = 200


def test_the_heads_find_what_followed_the_present_word() -> None:
    """Attention of a new model over random words in which a few come twice, against a plain search."""
    tokenizer = new_tokenizer()
    size = NewModel(
        hidden=256,
        layers=2,
        heads=4,
        key_value_heads=2,
        mlp=64,
        vision_hidden=40,
        vision_layers=1,
        vision_mlp=64,
    )
    model = new_seedling(size, tokenizer, 0).eval()
    model.set_attn_implementation("eager")
    draw = torch.Generator().manual_seed(0)
    ids = torch.randperm(len(tokenizer), generator=draw)[:LENGTH]
    ids[150:] = ids[torch.randperm(100, generator=draw)[:50]]  # seen once before, up to 199 tokens ago
    positions = torch.arange(LENGTH).float().expand(3, 1, -1)
    with torch.no_grad():
        attention = model(input_ids=ids[None], position_ids=positions, output_attentions=True).attentions
    before = attention[0][0, 0]
    assert (before.argmax(-1)[1:] == torch.arange(LENGTH - 1)).all()
    found = attention[1][0, 0].argmax(-1)
    follower = [ids[:k].tolist().index(int(ids[k])) + 1 for k in range(150, LENGTH)]
    assert (found[150:] == torch.tensor(follower)).float().mean() > 0.3  # chance: less than 0.01


def test_a_word_begins_alike_with_and_without_its_blank() -> None:
    tokenizer = new_tokenizer()
    size = NewModel(
        hidden=64, layers=1, heads=1, key_value_heads=1, mlp=640, vision_hidden=40, vision_layers=1
    )
    weight = new_seedling(size, tokenizer, 0).get_input_embeddings().weight
    known = tokenizer.get_vocab()
    assert torch.equal(weight[known["red"]], weight[known[" red"]])
    assert not torch.equal(weight[known["red"]], weight[known[" blue"]])
