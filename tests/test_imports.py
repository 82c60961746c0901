"""The house: imports point down only (a room may use the rooms in its row, and itself), files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
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
    "claims",
    "leases",
    "text",
    "documents",
    "values",
    "yaml_text",
    "digest",
    "language",
    "cue_text",
    "modules",
    "utc",
}
BELOW = {
    "chat": GROUND,
    "work": GROUND,
    "media": GROUND,
    "arena": GROUND | {"media"},
    "model": GROUND | {"media"},
    "data": GROUND | {"chat", "work", "media", "model", "arena"},
    "stream": GROUND | {"media", "model", "arena"},
    "train": GROUND | {"media", "model", "arena", "data"},
    "bench": GROUND | {"chat", "work", "media", "model", "data", "arena", "stream"},
    "commands": GROUND | {"chat", "work", "media", "model", "data", "arena", "stream", "train", "bench"},
    "cli": GROUND | {"commands"},
    "__main__": {"cli"},
}
# Within a room: what its inner rooms may use of each other; those not named here keep to themselves or not.
INNER = {
    "bench": {
        "common": set(),
        "api": {"common"},
        "judge": {"common", "api"},
        **{room: {"common", "api", "judge"} for room in ("arena", "speed", "commentary", "questions")},
    },
    "media": {"clock": set(), "file": {"clock"}, "web": set(), "live": {"clock", "file", "web"}},
    "data": {
        "words": set(),
        "fetch": {"words"},
        "chunks": {"words"},
        "samples": {"words", "chunks"},
    },
    "model": {
        **{room: set() for room in ("checkpoint", "states")},
        "kernels": {"states"},
        "vision": {"kernels"},
        "family": {"states", "vision", "lean"},
        "lean": {"kernels", "vision"},
    },
    "stream": {"step": set(), "page": {"outputs"}, "outputs": set()},
    "commands": {"stream": set(), "bench": {"stream"}},
}
MOST_FILES = 20
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_PARAMETERS = 350, 60, 15
MODULES = sorted(PACKAGE.rglob("*.py"))
WRITTEN = [*MODULES, *sorted(Path(__file__).parent.rglob("*.py"))]


def imported_modules(tree: ast.AST, package: list[str]) -> Iterator[tuple[str, ...]]:
    """What a module names of svlm_cli, at its top, in functions and under TYPE_CHECKING, without svlm_cli."""
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
                yield tuple(parts[1:])


def place(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports_of(path: Path) -> set[tuple[str, ...]]:
    return set(imported_modules(tree_of(path), ["svlm_cli", *place(path)[:-1]]))


def upward_imports(path: Path) -> list[str]:
    room = place(path)[0]
    if room == "__init__":  # the public names, imported on first use, are the whole house
        return []
    allowed = (set() if room in ("errors", "text") else GROUND) if room in GROUND else BELOW[room] | {room}
    exists = {each.stem for each in PACKAGE.iterdir()}
    return sorted({other[0] for other in imports_of(path) if other[0] in exists and other[0] not in allowed})


def through_walls(path: Path) -> list[str]:
    room, inner, *_ = (*place(path), "")
    walls = INNER.get(room, {})
    others = {
        other[1] for other in imports_of(path) if other[0] == room and len(other) > 1 and other[1] in walls
    }
    return sorted(others - walls[inner] - {inner}) if inner in walls else []


def circles() -> list[list[str]]:
    """Modules that import each other, directly or round about."""
    known = {place(path): path for path in MODULES if place(path) != ("__init__",)}
    known = {name[:-1] if name[-1] == "__init__" else name: path for name, path in known.items()}
    arrows = {}
    for name, path in known.items():
        named = {other if other in known else other[:-1] for other in imports_of(path)}
        arrows[name] = {other for other in named if other in known and other != name}
    left = dict(arrows)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    return [sorted(".".join(name) for name in left)] if left else []


def too_long(source: str) -> list[str]:
    """What of a file is over the limits: its lines, lines of a function, parameters of a signature."""
    found = [f"{num} lines"] if (num := len(source.splitlines())) > MOST_LINES else []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        name, signature = getattr(node, "name", "lambda"), node.args
        if (num := node.end_lineno - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION:
            found.append(f"{name}: {num} lines")
        named = [*signature.posonlyargs, *signature.args, *signature.kwonlyargs]
        if (num := len(named) + bool(signature.vararg) + bool(signature.kwarg)) > MOST_PARAMETERS:
            found.append(f"{name}: {num} parameters")
    return found


def test_imports_point_down() -> None:
    assert {str(path): found for path in MODULES if (found := upward_imports(path))} == {}


def test_inner_walls_stand() -> None:
    assert {str(path): found for path in MODULES if (found := through_walls(path))} == {}


def test_nothing_goes_in_circles() -> None:
    assert circles() == []


def test_no_folder_is_a_list() -> None:
    folders = Counter(path.parent for path in MODULES if path.stem != "__init__")
    assert {str(folder): num for folder, num in folders.items() if num > MOST_FILES} == {}


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(".".join(place(path)))
    assert len(places) > 100
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_nothing_is_too_long() -> None:
    found = {str(path): over for path in WRITTEN if (over := too_long(path.read_text()))}
    assert found == {}


@pytest.mark.parametrize("over", [0, 1])
def test_what_is_too_long_is_seen(over: int) -> None:
    parameters = ", ".join(f"p{number}" for number in range(MOST_PARAMETERS - 2 + over))
    body = "        pass\n" * (MOST_LINES_OF_A_FUNCTION - 1 + over)
    source = f"class C:\n    async def f({parameters}, *, q=1, **r):\n{body}"
    source += "#\n" * (MOST_LINES - len(source.splitlines()) + over)
    assert too_long(source) == ["351 lines", "f: 61 lines", "f: 16 parameters"][: 3 * over]


def test_tests_follow_the_rooms() -> None:
    """Each folder of tests is one of the package's; trust holds promises that cross them."""
    tests = Path(__file__).parent
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    beside = {folder for folder in folders if not (PACKAGE / folder).is_dir()}
    assert {str(folder) for folder in beside} == {"trust"}


def test_an_upward_import_is_seen() -> None:
    source = "def f():\n    from svlm_cli.stream.loop import stream\n    from ..commands import options\n"
    found = set(imported_modules(ast.parse(source), ["svlm_cli", "model"]))
    assert found == {("stream", "loop", "stream"), ("commands", "options")}


@pytest.mark.parametrize(
    "module",
    ["svlm_cli", "svlm_cli.cli", "svlm_cli.settings", "svlm_cli.types", "svlm_cli.stream.outputs.writers"],
)
def test_light_modules_do_not_import_torch(module: str) -> None:
    script = f"import sys, {module}; print({{'torch', 'transformers', 'av', 'decord'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.strip() == "set()"
