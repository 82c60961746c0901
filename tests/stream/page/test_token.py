"""The token of a page that others can reach: asked for, taken, and never left lying about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stream.served import served


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("path", ["/", "/overlay", "/camera"])
def test_a_token_never_stays_in_the_address(tmp_path: Path, path: str, known: bool) -> None:
    with served(tmp_path, host="0.0.0.0", token="a+&%b") as page:
        cookie = {"Cookie": f"svlm_token_{page.port}=a+&%b"} if known else {}
        for query, left in (("", ""), ("size=9&", "?size=9"), ("channel=a%20b&", "?channel=a+b")):
            status, _, headers = page.request("GET", f"{path}?{query}token=a%2B%26%25b", **cookie)
            assert (status, headers["location"]) == (303, f"{path}{left}")


def test_the_form_keeps_what_was_asked_and_tells_a_wrong_token(tmp_path: Path) -> None:
    with served(tmp_path, host="0.0.0.0", token="chosen") as page:
        status, body, _ = page.request("GET", "/overlay?size=9&channel=%27%3E%3Cb%3E", Accept="text/html")
        assert status == 401
        assert b"name='size' value='9'" in body
        assert b"value='&#x27;&gt;&lt;b&gt;'" in body
        assert b"not the token" not in body
        status, body, _ = page.request("GET", "/overlay?size=9&token=wrong", Accept="text/html")
        assert (status, b"not the token" in body, b"wrong" in body) == (401, True, False)
