"""Pieces side by side through one model."""

from __future__ import annotations

from svlm_cli.cli import run
from tests.bench.commentary.test_commentary import SMALL, data, generate

__all__ = ["data"]


def test_a_batch_says_the_same_and_goes_on_where_it_was_left(checkpoint, data, tmp_path) -> None:
    """Chunks side by side, one more than there are places, with a video that cannot be read among them."""
    kind = ["--setting", "chunked", "--model", str(checkpoint), *SMALL, "--threads", "1", "--greedy"]
    for name in ("a", "b"):
        assert run(generate(data, tmp_path / name, *kind, *(["--batch", "3"] if name == "b" else []))) == 0
    alone, batched = (tmp_path / name / "results.jsonl" for name in "ab")
    assert batched.read_bytes() == alone.read_bytes()
    lines = alone.read_bytes().splitlines(keepends=True)
    assert len(lines) > 1
    batched.write_bytes(lines[-1])
    assert run(generate(data, tmp_path / "b", *kind, "--batch", "2")) == 0
    assert batched.read_bytes() == alone.read_bytes()
    assert not (tmp_path / "b" / "partial").exists()
