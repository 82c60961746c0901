"""``svlm`` with the pretended engine in this process, where nothing is seen better from outside."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from svlm_cli.cli import run
from tests.commands.fake_svlm import FakeEngine


@pytest.fixture
def svlm_here(capsys: pytest.CaptureFixture[str]) -> Callable[..., CompletedProcess[str]]:
    """As ``running.svlm``: the command line's words, and what it came to."""

    def call(*arguments: str) -> CompletedProcess[str]:
        capsys.readouterr()
        return CompletedProcess(arguments, run([*arguments], FakeEngine()), *capsys.readouterr())

    return call
