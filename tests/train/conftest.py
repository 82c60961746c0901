"""What is trained, on one thread, and from windows that are drawn once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def trained_on_one_thread(one_thread: None) -> None:
    """Tests of a resumed run compare to the bit, and the models here are too small for two."""


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the arena's windows are drawn once for all tests; a run's features of them lie there too."""
    return tmp_path_factory.mktemp("windows")
