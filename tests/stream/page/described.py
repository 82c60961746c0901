"""What api.json says of an answer, compared with one."""

from __future__ import annotations

import json
from pathlib import Path

from svlm_cli.stream.page.answers import ASSETS
from svlm_cli.types import EndEvent

DESCRIBED = json.loads((ASSETS / "api.json").read_text(encoding="utf-8"))
PATHS = DESCRIBED["paths"]
DOCUMENT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
END = EndEvent(3, 3.0, 1.0, 3.0, 0.1, 0.1, 0.1, 1, 0)


def conforms(value: object, schema: dict, place: str = "") -> None:
    """As much of JSON Schema as api.json uses."""
    if "$ref" in schema:
        schema = DESCRIBED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float), "boolean": bool}
    named = schema.get("type", [])
    expected = [kinds.get(kind, type(None)) for kind in ([named] if isinstance(named, str) else named)]
    assert not expected or any(isinstance(value, kind) for kind in expected), (place, value)
    assert value in schema.get("enum", [value]), (place, value)
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= value.keys(), place
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        for key, each in value.items():
            assert key in known or not known or other, (place, key)
            conforms(each, known.get(key, other if isinstance(other, dict) else {}), f"{place}.{key}")
    if isinstance(value, list):
        for each in value:
            conforms(each, schema.get("items", {}), f"{place}[]")


def described(path: str, method: str, status: int, body: bytes) -> None:
    """What is answered is what is described."""
    answer = PATHS[path.partition("?")[0]][method.lower()]["responses"][str(status)]
    if "$ref" in answer:
        answer = DESCRIBED["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    if schema := answer["content"].get("application/json", {}).get("schema"):
        conforms(json.loads(body), schema)
