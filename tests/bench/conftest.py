"""What several benchmarks' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import made_data


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    metadata, clips = made_data.metadata(tmp_path)
    ours = made_data.predictions(tmp_path / "ours.jsonl", "ours")
    theirs = made_data.predictions(tmp_path / "theirs.jsonl", "theirs")
    return [str(ours), str(theirs), "--metadata", str(metadata), "--clips", str(clips)]
