"""Documents made odd at random, from a seed: bytes, numbers, keys, nesting."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

ODD_LITERALS = (
    "NaN", "-Infinity", "1e999", "1e15", "-1e15", "1e6", "9" * 400, "9" * 5000, "-5", "0", "0.5", "null",
    "true", '"soon"', '"12.5"', '""', '"\\ud83d"', '"\\u0000"', '"../../x"', '"/etc"', f'"{"x" * 300}"',
    "[]", "{}", "[[1, 2], [3]]", '{"a": {"b": 1}}', "[" * 120 + "]" * 120, '{"a":' * 120 + "1" + "}" * 120,
)  # fmt: skip
_MARK = "@@here@@"


def damaged(content: bytes, dice: random.Random, *, is_json: bool) -> bytes:
    """The same document with one to three things wrong with it, and perhaps still whole."""
    kinds: list[Callable[[bytes, random.Random], bytes]] = [_flip, _cut, _doubled, _foreign, _zeros]
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        how = dice.choice([*kinds, _odd_value, _odd_value, _odd_value, _without_key] if is_json else kinds)
        content = how(content, dice)
    return content


def with_odd_values(content: bytes, dice: random.Random) -> bytes:
    """The same JSON document with a value or two that are something else, or without a key."""
    for _ in range(dice.choice((1, 1, 2))):
        content = dice.choice((_odd_value, _odd_value, _odd_value, _without_key))(content, dice)
    return content


def _flip(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice((1, 3, 20))):
        if changed:
            changed[dice.randrange(len(changed))] = dice.choice(
                (dice.randrange(256), dice.randrange(32, 127))
            )
    return bytes(changed)


def _cut(content: bytes, dice: random.Random) -> bytes:
    letters = [k for k, byte in enumerate(content) if byte >= 0xC0]  # one place is inside a letter
    return content[: dice.choice([dice.randint(0, len(content)), *[k + 1 for k in letters]])]


def _doubled(content: bytes, dice: random.Random) -> bytes:
    first, last = sorted(dice.randint(0, len(content)) for _ in range(2))
    return content[:last] + content[first:last] + content[last:]


def _foreign(content: bytes, dice: random.Random) -> bytes:
    place = dice.randint(0, len(content))
    return (
        content[:place] + dice.choice((dice.randbytes(8), b"\xff\xfe", b"\xe9", b"\x1b]0;")) + content[place:]
    )


def _zeros(content: bytes, dice: random.Random) -> bytes:
    """What some file systems leave of a block that was never written."""
    return content[: dice.randint(0, len(content))].ljust(len(content), b"\0")


def _odd_value(content: bytes, dice: random.Random) -> bytes:
    """One value of the document, at any depth, becomes something else."""
    return _changed(content, dice, lambda place, key: place.__setitem__(key, _MARK)).replace(
        f'"{_MARK}"'.encode(), dice.choice(ODD_LITERALS).encode(), 1
    )


def _without_key(content: bytes, dice: random.Random) -> bytes:
    return _changed(content, dice, lambda place, key: place.pop(key))


def _changed(content: bytes, dice: random.Random, change: Callable[[Any, Any], object]) -> bytes:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return content
    places = list(_places(document))
    if not places:
        return content
    change(*dice.choice(places))
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Any:
    keys = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])
