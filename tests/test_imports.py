"""Imports point down only (docs: the house). A room may use the rooms in its row, and itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import svlm_cli

PACKAGE = Path(svlm_cli.__file__).parent
GROUND = {
    "errors",
    "types",
    "settings",
    "recipe",
    "sections",
    "files",
    "text",
    "documents",
    "values",
    "yaml_text",
}
BELOW = {
    "media": GROUND,
    "arena": GROUND | {"media"},
    "model": GROUND | {"media"},
    "data": GROUND | {"media", "model", "arena"},
    "stream": GROUND | {"media", "model", "arena"},
    "train": GROUND | {"media", "model", "arena", "data"},
    "bench": GROUND | {"media", "model", "data", "arena", "stream"},
    "commands": GROUND | {"media", "model", "data", "arena", "stream", "train", "bench"},
    "cli": GROUND | {"commands"},
    "__main__": {"cli"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_rooms(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """The rooms of svlm_cli that a module names, at its top, in functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "svlm_cli" and len(parts) > 1:
                yield parts[1]


def upward_imports(path: Path) -> list[str]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    room = parts[0]
    if room == "__init__":  # the public names, imported on first use, are the whole house
        return []
    rooms = imported_rooms(ast.parse(path.read_text()), ["svlm_cli", *parts[:-1]])
    allowed = (set() if room in ("errors", "text") else GROUND) if room in GROUND else BELOW[room] | {room}
    exists = {each.stem for each in PACKAGE.iterdir()}
    return sorted({other for other in rooms if other in exists and other not in allowed})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    assert upward_imports(path) == []


def test_an_upward_import_is_seen(tmp_path: Path) -> None:
    source = "def f():\n    from svlm_cli.stream.loop import stream\n    from ..commands import options\n"
    assert set(imported_rooms(ast.parse(source), ["svlm_cli", "model"])) == {"stream", "commands"}


@pytest.mark.parametrize(
    "module", ["svlm_cli", "svlm_cli.cli", "svlm_cli.settings", "svlm_cli.types", "svlm_cli.stream.writers"]
)
def test_light_modules_do_not_import_torch(module: str) -> None:
    script = f"import sys, {module}; print({{'torch', 'transformers', 'av', 'decord'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.strip() == "set()"
