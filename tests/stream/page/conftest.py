"""A page that has shown two seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stream.served import START, Served, said, served, shown


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        for event in (START, said(0, "kick-off"), said(1, "a fine pass", lag_seconds=0.5)):
            running.hub.publish(event)
        running.hub.watch(shown(0, level=10))
        running.hub.watch(shown(1, level=200))
        yield running
