"""What several benchmarks' tests share."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from svlm_cli.bench.arena import plots as arena_plots
from svlm_cli.bench.common import plots
from tests.bench import made_data


@pytest.fixture
def drawn() -> None:
    """For a test that looks at pictures: they are drawn."""


@pytest.fixture(autouse=True)
def _pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank ones for the other tests: to draw them takes longer than all else of a score."""
    if "drawn" not in request.fixturenames:
        blank = io.BytesIO()
        Image.new("RGB", (1, 1)).save(blank, "PNG")
        for module, name in ((plots, "bars"), (arena_plots, "quality_plot"), (arena_plots, "scores_plot")):
            monkeypatch.setattr(module, name, lambda *_args, **_named: blank.getvalue())


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    metadata, clips = made_data.metadata(tmp_path)
    ours = made_data.predictions(tmp_path / "ours.jsonl", "ours")
    theirs = made_data.predictions(tmp_path / "theirs.jsonl", "theirs")
    return [str(ours), str(theirs), "--metadata", str(metadata), "--clips", str(clips)]
