"""The lines and the clients of docs/api.md run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.stream.page.described import DOCUMENT, END, PATHS, described
from tests.stream.served import Served, said


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def lines() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl")]


@pytest.mark.parametrize("line", lines())
def test_the_lines_of_the_document_run(page: Served, line: str, tmp_path: Path) -> None:
    command = line.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{page.port}").replace(
        "curl", "curl -f", 1
    )
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    pictures = [Image.open(each) for each in tmp_path.glob("*.jpg")]
    assert done.stdout or [each.format for each in pictures] == ["JPEG"]
    path = re.search(r":8000(/[a-z0-9.]+)", line)[1]
    kinds = {
        "/events": b"data: {",
        "/words.vtt": b"WEBVTT",
        "/captions.m3u8": b"#EXTM3U",
        "/ask": b'"id"',
        "/metrics": b"svlm_words_total",
    }
    assert kinds.get(path, b"") in done.stdout
    method = "post" if path == "/ask" else "get"
    if "application/json" in str(PATHS[path][method]["responses"]["202" if method == "post" else "200"]):
        described(path, method, 202 if method == "post" else 200, done.stdout)


def test_the_client_in_python_prints_the_words(page: Served) -> None:
    code = blocks("python")[0]
    assert len(code.strip().splitlines()) <= 10
    child = subprocess.Popen(
        [sys.executable, "-c", code.replace(":8000", f":{page.port}")], stdout=subprocess.PIPE, text=True
    )
    page.hub.publish(said(2, "and one more"))
    page.hub.publish(END)
    assert child.communicate(timeout=20)[0].splitlines() == [
        "0.0 kick-off",
        "1.0 a fine pass",
        "2.0 and one more",
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_client_in_javascript_prints_the_words(page: Served) -> None:
    code = blocks("js")[0]
    assert len(code.strip().splitlines()) <= 10
    # Older ones have no EventSource: this one reads as much of the protocol as one answer needs.
    source = """globalThis.EventSource ??= class { constructor(url) { fetch(url).then(async (reply) => {
      for (const line of (await reply.text()).split("\\r\\n"))
        if (line.startsWith("data: ")) this.onmessage({ data: line.slice(6) }); }); } close() {} };"""
    page.hub.publish(END)
    done = subprocess.run(
        ["node", "-e", source + code.replace(":8000", f":{page.port}")],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout.splitlines() == ["0 kick-off", "1 a fine pass"], done.stderr
