"""An OpenAI-compatible server on loopback that answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Llm:
    """What it answers.

    Args:
        answer: from the two messages to the text of the reply.
        failures: statuses to answer first.
        body: sent instead of a reply.
        respond: from the whole request to status and text of the reply, instead of ``answer``.
    """

    answer: Callable[[str, str], str] = lambda system, user: ""
    failures: list[int] = field(default_factory=list)
    body: bytes | None = None
    respond: Callable[[dict[str, Any]], tuple[int, str]] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def serve_llm(llm: Llm) -> Iterator[Llm]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"llm": llm}))
    llm.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield llm
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    llm: Llm

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.llm.keys.append(self.headers.get("Authorization", ""))
        if self.llm.failures:
            self._reply(self.llm.failures.pop(0), {"error": {"message": f"no: {self.llm.keys[-1]}"}})
            return
        self.llm.asked.append(body)
        if self.llm.body is not None:
            self._send(200, self.llm.body)
            return
        if self.llm.respond is not None:
            status, text = self.llm.respond(body)
            if status != 200:
                self._reply(status, {"error": {"message": f"{text}: {self.llm.keys[-1]}"}})
                return
        else:
            system, user = (message["content"] for message in body["messages"])
            text = self.llm.answer(system, user)
        choice = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        reply = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        self._reply(200, reply | {"choices": [choice], "usage": usage})

    def _reply(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
