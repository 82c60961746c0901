"""YAML from outside, read within bounds: what cannot be read is said in one line."""

from __future__ import annotations

import re
from typing import Any

import yaml

from svlm_cli.documents import MalformedError, plain

MOST_BYTES = 1 << 17
MOST_DEPTH = 30
MOST_VALUES = 10_000
MOST_DIGITS = 300
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_NUMBERS = (f"{_TAG}int", f"{_TAG}float")


class _PlainNumbers(yaml.SafeLoader):
    """Numbers as YAML 1.2 and JSON write them: ``010`` is ten, ``1e-5`` is one, ``1_0`` and ``1:30`` text."""


_PlainNumbers.yaml_implicit_resolvers = {
    first: [each for each in known if each[0] not in _NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_WHOLE = re.compile(r"[-+]?[0-9]+\Z")
_REAL = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?\Z"
    r"|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z"
)


def _int(_loader: yaml.SafeLoader, node: yaml.Node) -> int:
    return int(_written(node, _WHOLE))


def _float(_loader: yaml.SafeLoader, node: yaml.Node) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", _written(node, _REAL).lower()))


def _written(node: yaml.Node, form: re.Pattern[str]) -> str:
    """What stands at a node, also where a tag alone calls it a number."""
    text = str(node.value)
    if not isinstance(node, yaml.ScalarNode) or not form.match(text):
        raise MalformedError(f"it has no number at line {node.start_mark.line + 1}: {text[:80]!r}")
    if len(text) > MOST_DIGITS:
        where = node.start_mark.line + 1
        raise MalformedError(f"it is not YAML: a number of more than {MOST_DIGITS} digits (line {where})")
    return text


_PlainNumbers.add_implicit_resolver(_NUMBERS[0], _WHOLE, list("-+0123456789"))
_PlainNumbers.add_implicit_resolver(_NUMBERS[1], _REAL, list("-+.0123456789"))
_PlainNumbers.add_constructor(_NUMBERS[0], _int)
_PlainNumbers.add_constructor(_NUMBERS[1], _float)


def parse_yaml(text: str) -> Any:
    """The value of a YAML document, as ``yaml.safe_load`` has it; numbers are those of YAML 1.2.

    Raises:
        MalformedError: it is not YAML; is larger than ``MOST_BYTES``, nested deeper than ``MOST_DEPTH`` or
            holds more than ``MOST_VALUES`` values once its aliases stand for what they name; has a key twice
            in one mapping, or a number of more than ``MOST_DIGITS`` digits.
    """
    if len(text) > MOST_BYTES:
        raise MalformedError(f"it is larger than {MOST_BYTES:,} letters")
    loader = None
    try:
        loader = _PlainNumbers(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, MOST_DEPTH, {})
        return plain(loader.construct_document(node))
    except (MalformedError, MemoryError):
        raise
    except RecursionError as error:
        raise MalformedError(_TOO_DEEP) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise MalformedError(f"it is not YAML: {error.problem or error.context}{where}") from error
    except Exception as error:  # of dates, numbers and tags the library raises what it likes
        told = " ".join(str(error).split())[:200]
        raise MalformedError(f"it is not YAML: {told or type(error).__name__}") from error
    finally:
        if loader is not None:
            loader.dispose()


_TOO_DEEP = "it is nested too deeply"


def _measure(node: yaml.Node, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for, and how deep they are nested; ``known`` by node."""
    if depth == 0:
        raise MalformedError(_TOO_DEEP)
    if id(node) in known:
        return known[id(node)]
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        inner = [each for pair in node.value for each in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif "\0" in node.value:
        raise MalformedError("it holds a zero character")
    measured = [_measure(each, depth - 1, known) for each in inner]
    size = 1 + sum(size for size, _ in measured)
    height = 1 + max((height for _, height in measured), default=0)
    if size > MOST_VALUES:
        raise MalformedError(f"it stands for more than {MOST_VALUES:,} values")
    if height > depth:
        raise MalformedError(_TOO_DEEP)
    known[id(node)] = size, height
    return size, height


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise MalformedError(f"the key {key.value[:80]!r} is there twice (line {line})")
            seen.add(key.value)
