"""A training run as typed values, read from YAML; no torch.

Every problem is told at once, an unknown key with the nearest name. ``key=value`` settings (dotted
keys, list items by number) override the file before it is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from svlm_cli.documents import MalformedError, read_text
from svlm_cli.errors import UsageError
from svlm_cli.sections import CHECKPOINT, NEW_MODEL, Recipe
from svlm_cli.text import encodable
from svlm_cli.values import short
from svlm_cli.yaml_text import MOST_BYTES, MOST_DEPTH, parse_yaml

_MOST_PROBLEMS = 20
_LONGEST_NAME = 60


def load_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file.
        settings: ``key=value`` each, e.g. ``stages.0.steps=100``; values are YAML.

    Raises:
        UsageError: a file that cannot be read, a malformed setting, or a recipe with problems; names all
            of them.
    """
    try:
        content = parse_yaml(read_text(path, MOST_BYTES))
    except OSError as error:
        raise UsageError(f"the recipe {path} cannot be read: {error.strerror}") from error
    except MalformedError as error:
        raise UsageError(f"the recipe {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"the recipe {path} holds no sections")
    for setting in settings:
        _apply(content, setting)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        problems = [_problem(detail) for detail in found[:_MOST_PROBLEMS]]
        problems += [f"{len(found) - _MOST_PROBLEMS} more"] if len(found) > _MOST_PROBLEMS else []
        raise UsageError(f"the recipe {path} is wrong: {'; '.join(problems)}") from error


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every default written out; ``load_recipe`` reads it back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _apply(content: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    told = f"--set {short(encodable(setting))}"
    *path, last = steps = key.split(".")
    if not equals or not all(steps) or len(steps) > MOST_DEPTH:
        raise UsageError(f"{told}: expected key=value", "e.g. --set stages.0.steps=100")
    if encodable(setting) != setting:
        raise UsageError(f"{told} is not UTF-8")
    try:
        value = parse_yaml(text)
    except MalformedError as error:
        raise UsageError(f"{told}: {error}") from error
    place: Any = content
    for step in path:
        if (number := _number_in(place, step)) is not None:
            place = place[number]
        elif isinstance(place, dict):
            place = place.setdefault(step, {})
        else:
            raise UsageError(f"{told}: there is no {short(step)} in the recipe")
    if (number := _number_in(place, last)) is not None:
        place[number] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UsageError(f"{told}: there is no {short(last)} in the recipe")


def _number_in(place: Any, step: str) -> int | None:
    """The place in a list that a step of a key names."""
    if not isinstance(place, list) or not re.fullmatch(r"[0-9]{1,9}", step) or int(step) >= len(place):
        return None
    return int(step)


def _problem(detail: Any) -> str:
    place = [step for step in detail["loc"] if step not in (NEW_MODEL, CHECKPOINT)]
    dotted = " ".join(".".join(_name(step) for step in place).split())
    if detail["type"] != "extra_forbidden":
        message = str(detail["msg"]).removeprefix("Value error, ")
        message = " ".join(f"{message[:1].lower()}{message[1:]}".split())
        return f"{dotted}: {message}" if dotted else message
    close = get_close_matches(str(place[-1]), _names(detail["loc"][:-1]), n=1, cutoff=0.4)
    return f"{dotted}: unknown key" + (f", did you mean {close[0]}?" if close else "")


def _name(step: int | str) -> str:
    """A key for a message."""
    return str(step) if len(str(step)) <= _LONGEST_NAME else f"{str(step)[:_LONGEST_NAME]}..."


def _names(path: Sequence[int | str]) -> list[str]:
    """The keys a section at this place may have."""
    found: list[type[BaseModel]] = [Recipe]
    for step in path:
        if step in (NEW_MODEL, CHECKPOINT):
            found = [section for section in found if ("base" in section.model_fields) == (step == CHECKPOINT)]
        elif isinstance(step, str):
            found = [inner for section in found for inner in _sections(section.model_fields[step].annotation)]
    return [name for section in found for name in section.model_fields]


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type names, however deep in unions and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
