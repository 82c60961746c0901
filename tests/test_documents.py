"""The doors for text, JSON and YAML from outside, and the checks of single values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svlm_cli import values
from svlm_cli.documents import MOST_DEPTH, MalformedError, lines_of, parse_json, read_bytes, read_text
from svlm_cli.yaml_text import MOST_BYTES, parse_yaml
from tests.cpu_time import no_hang

LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not JSON"),
        (b'{"a": "\xc3"}', "not UTF-8"),
        ('{"a": "é"}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested"),
        (b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1), "nested"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "nested"),
        (b"", "not JSON"),
        (b"\0\0\0", "not JSON"),
    ],
)
def test_what_is_no_json_is_one_error_of_one_line(content: bytes, told: str) -> None:
    with pytest.raises(MalformedError, match=told) as caught:
        parse_json(content)
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_beyond_all_numbers_are_none_and_text_can_be_encoded() -> None:
    text = (
        f'[NaN, Infinity, -Infinity, 1e999, {"9" * 400}, {"9" * 9000}, 5, -2.5, "\\ud83d", "\\ud83d\\ude00"]'
    )
    found = parse_json(text)
    assert found == [None] * 6 + [5, -2.5, "\ufffd", "\N{GRINNING FACE}"]
    json.dumps(parse_json('{"\\udc00": {"a": ["\\udfff"]}}'), ensure_ascii=False).encode()
    deepest = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert parse_json(deepest.encode()) == json.loads(deepest)


def test_files_are_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert read_text(path) == "a\nb"
    assert read_bytes(path, 7) == path.read_bytes()
    with pytest.raises(MalformedError, match="larger than 6 bytes"):
        read_bytes(path, 6)
    with pytest.raises(MalformedError, match="larger"):
        read_bytes(Path("/dev/zero"), 1000)
    path.write_bytes(b"a\0b")
    with pytest.raises(MalformedError, match="zero bytes"):
        read_text(path)
    assert list(lines_of(b"a\n\n \r\nb")) == [(1, b"a"), (4, b"b")]


@pytest.mark.parametrize("value", [None, True, "5", [], {}, math.nan, math.inf, 1e15, -1e15, 10**400, -1])
def test_what_is_no_time_is_named(value: Any) -> None:
    with pytest.raises(MalformedError, match=r"^end is no time in seconds: ") as caught:
        values.seconds(value, "end")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (values.file_name, ["", ".", "..", "a/b", "a\0", "é" * 150, 5, None]),
        (values.path_text, ["a\0", "a" * 256, "b/" * 2000, 5]),
        (values.inner_path, ["", "/a", "../a", "a/../../b", "a\0"]),
        (values.text, [5, None, "a" * 100_001]),
        (values.mapping, [[], None, "a"]),
        (values.mappings, [{}, [1], None]),
    ],
)
def test_other_values_out_of_bounds_are_named(check: Callable[[Any, str], Any], bad: list[Any]) -> None:
    for value in bad:
        with pytest.raises(MalformedError, match=r"^it"):
            check(value, "it")
    good = {values.mapping: {"a": 1}, values.mappings: [{"a": 1}]}.get(check, "é a-b_c.mp4")
    assert check(good, "it") == good


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "not YAML.*line"),
        ("a: 1\nb: 2\na: 3", "key 'a' is there twice .line 3"),
        (LAUGHS, "more than 10,000 values"),
        ("a: &a [*a]", "nested"),
        ("&a {b: *a}", "nested"),
        ("[" * 5000, "nested"),
        ("[" * 31 + "]" * 31, "nested"),
        ("a: 2026-99-99", "not YAML"),
        ("a: " + "9" * 9000, "not YAML"),
        ("a: !!timestamp x", "not YAML"),
        ("a: !!python/object:os.system x", "not YAML"),
        ("? [1]\n: 2", "not YAML"),
        ('a: "\\0"', "zero"),
        ("a: \ud83d", "not YAML"),
        ("a" * (MOST_BYTES + 1), "larger"),
        ("a: 1\n---\nb: 2", "not YAML"),
    ],
)
def test_what_is_no_yaml_is_one_error_of_one_line(text: str, told: str) -> None:
    with no_hang(), pytest.raises(MalformedError, match=told) as caught:
        parse_yaml(text)
    assert len(str(caught.value).splitlines()) == 1


def test_yaml_as_it_is_written_by_people() -> None:
    text = 'base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\nlist: [*b, *b]\nname: "\\ud83d"'
    assert parse_yaml(text) == {
        "base": {"x": 1, "y": 2},
        "more": {"x": 1, "y": 3},
        "list": [{"x": 1, "y": 2}] * 2,
        "name": "\ufffd",
    }
    assert parse_yaml("") is None
