"""Commands that take groups of options whole.

A group is a frozen dataclass whose fields are ``Annotated`` options with their defaults: name, unit, meaning
and default of an option stand there, once, for every command that has it. ``grouped`` gives a command the
flat signature that Typer reads, and puts the groups together again when it is called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, init=False)
class Without:
    """Options of a group that a command does not have: ``Annotated[Group, Without("step_seconds")]``.

    Args:
        names: the names of the group's fields; each keeps its default.
    """

    names: frozenset[str]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", frozenset(names))


@dataclass(frozen=True, slots=True)
class _Group:
    """A parameter of a command that stands for several.

    Args:
        kind: the dataclass.
        without: names of fields that the command does not have.
        usual: an instance whose fields are the defaults; None for those of the class.
    """

    kind: type[Any]
    without: frozenset[str]
    usual: Any | None

    def parameters(self) -> Iterator[inspect.Parameter]:
        """The options, as parameters of their own."""
        hints = get_type_hints(self.kind, include_extras=True)
        for field in self._shown():
            default = field.default if self.usual is None else getattr(self.usual, field.name)
            yield inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
            )

    def gather(self, given: dict[str, Any]) -> Any:
        """Take the group's options out of what was given."""
        usual = {} if self.usual is None else {name: getattr(self.usual, name) for name in self.without}
        return self.kind(**usual, **{field.name: given.pop(field.name) for field in self._shown()})

    def _shown(self) -> list[Any]:
        known = fields(self.kind)
        if unknown := self.without - {field.name for field in known}:
            raise TypeError(f"{self.kind.__name__} has no {', '.join(sorted(unknown))}")
        return [field for field in known if field.name not in self.without]


def grouped(command: Callable[..., ResultT]) -> Callable[..., ResultT]:
    """Make a command that Typer can read of one with groups among its parameters.

    Args:
        command: a parameter annotated with a dataclass is a group, maybe ``Annotated`` with a ``Without``; an
            instance as its default gives the options of this command defaults of their own.

    Raises:
        TypeError: two options have one name, or ``Without`` names none.
    """
    own = inspect.signature(command, eval_str=True)
    groups = {name: group for name, each in own.parameters.items() if (group := _group(each)) is not None}
    flat: list[inspect.Parameter] = []
    for name, each in own.parameters.items():
        flat += groups[name].parameters() if name in groups else [each.replace(kind=each.KEYWORD_ONLY)]
    names = [each.name for each in flat]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{command.__name__} has {', '.join(sorted(doubled))} twice")

    @functools.wraps(command)
    def whole(**given: Any) -> ResultT:
        gathered = {name: group.gather(given) for name, group in groups.items()}
        return command(**given, **gathered)

    whole.__signature__ = own.replace(parameters=flat)  # type: ignore[attr-defined]
    whole.__annotations__ = {each.name: each.annotation for each in flat} | {"return": own.return_annotation}
    return whole


def _group(parameter: inspect.Parameter) -> _Group | None:
    kind, *marks = (
        get_args(parameter.annotation)
        if get_origin(parameter.annotation) is Annotated
        else (parameter.annotation,)
    )
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return None
    without = frozenset[str]().union(*(mark.names for mark in marks if isinstance(mark, Without)))
    usual = None if parameter.default is inspect.Parameter.empty else parameter.default
    return _Group(kind, without, usual)
