"""``svlm`` with the pretended engine in this process, where nothing is seen better from outside."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from svlm_cli.cli import run
from tests.commands import fake_svlm


@pytest.fixture
def svlm_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., CompletedProcess[str]]:
    """As ``running.svlm``: the command line's words, and what it came to."""
    monkeypatch.setattr("svlm_cli.stream.sources.open_source", fake_svlm.open_source)
    monkeypatch.setattr("svlm_cli.stream.loop.stream_video", fake_svlm.stream)
    monkeypatch.setattr("svlm_cli.model.load.load_model", fake_svlm.load_model)

    def call(*arguments: str) -> CompletedProcess[str]:
        capsys.readouterr()
        return CompletedProcess(arguments, run([*arguments]), *capsys.readouterr())

    return call
