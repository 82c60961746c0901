"""What a page answers to bytes, and the form of its errors."""

from __future__ import annotations

import json
import socket


def require_error(body: bytes, headers: dict[str, str]) -> dict[str, str]:
    told = json.loads(body)
    assert set(told) == {"error", "hint"}
    assert told["error"]
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(body)
    return told


def answer_to(port: int, request_text: bytes) -> tuple[int, bytes, dict[str, str]]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request_text)
        content = b""
        while part := connection.recv(65536):
            content += part
    head, _, body = content.partition(b"\r\n\r\n")
    first, *fields = head.decode().lower().split("\r\n")
    return int(first.split()[1]), body, dict(field.split(": ", 1) for field in fields)
