"""Any OpenAI-compatible address: one question, one reply, and never a key in what comes back.

The key comes from ``OPENAI_API_KEY`` alone. Rate limits, timeouts and errors of the server are tried again
by the ``openai`` client, with its growing pauses, ``RETRIES`` times.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from svlm_cli.errors import SvlmError
from svlm_cli.text import encodable

OPENAI_ADDRESS = "https://api.openai.com/v1"
RETRIES = 4
TIMEOUT_SECONDS = 120.0
FINAL_STATUSES = (401, 403, 404)  # a 400 may be of this question alone: its content, its length
_LONGEST_DETAIL = 300
_HIDDEN = "***"


class NoReplyError(SvlmError):
    """The address gave no usable reply to this question.

    Args:
        is_final: asking anything else there would fail in the same way: a wrong key, model or address.
        is_unusable: a reply came, but it was empty or of another form: asking again may help.
        empty: the reply, where it was empty: its tokens were paid for.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        is_final: bool = False,
        is_unusable: bool = False,
        empty: Reply | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.is_final = is_final
        self.is_unusable = is_unusable
        self.empty = empty


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Args:
        text: without halves of surrogate pairs and without the key.
        prompt_tokens, completion_tokens: as the address counts them; None where it does not say.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chat:
    """A model at an OpenAI-compatible address; may be asked from several threads.

    Args:
        model: its name there.
        base_url: the URL of the address; None for that of ``OPENAI_BASE_URL``, else OpenAI's own.
        key_hint: what to do where a key is needed and there is none.

    Raises:
        SvlmError: there is no key and no other address was given.
    """

    def __init__(self, model: str, base_url: str | None = None, key_hint: str = "set OPENAI_API_KEY") -> None:
        import openai

        self.model = model
        address = chosen_address(base_url)
        try:
            self._client = openai.OpenAI(
                base_url=address or OPENAI_ADDRESS,
                api_key=None if address is None else _key_or_none(),
                max_retries=RETRIES,
                timeout=TIMEOUT_SECONDS,
            )
        except openai.OpenAIError as error:
            raise SvlmError("the language model needs a key", key_hint) from error
        if not self._client.api_key.isascii():
            raise SvlmError("the key in OPENAI_API_KEY has letters that no key has", "copy it again")

    def ask(self, messages: Sequence[Mapping[str, Any]], **settings: Any) -> Reply:
        """Ask once, with the client's own retries.

        Args:
            messages: the messages, in the form of the chat completions API.
            settings: further fields of the request, as ``seed``.

        Raises:
            NoReplyError: there is no answer, or an empty one, or one of another form.

        Returns:
            A reply that is not empty.
        """
        import openai

        try:
            reply = self._client.chat.completions.create(
                model=self.model,
                messages=list(messages),  # type: ignore[arg-type]
                **settings,
            )
            text = reply.choices[0].message.content
            usage = reply.usage
        except openai.APIStatusError as error:
            # The client's errors may quote the key, and a traceback shows every cause: they end here.
            raise self._no_reply(str(error), is_final=error.status_code in FINAL_STATUSES) from None
        except openai.OpenAIError as error:
            raise self._no_reply(str(error)) from None
        except (AttributeError, IndexError, TypeError, ValueError):
            problem = "the reply is not that of an OpenAI-compatible address"
            raise self._no_reply(problem, is_unusable=True) from None
        tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        if not isinstance(text, str) or not text.strip():
            raise self._no_reply("the reply is empty", is_unusable=True, empty=Reply("", *tokens))
        return Reply(self._without_key(encodable(text)), *tokens)

    def _no_reply(
        self, detail: str, *, is_final: bool = False, is_unusable: bool = False, empty: Reply | None = None
    ) -> NoReplyError:
        """One line that never shows the key."""
        told = self._without_key(" ".join(detail.split()))[:_LONGEST_DETAIL]
        return NoReplyError(
            f"the language model {self.model} gave no answer: {told}",
            "run the same command again: answers so far are kept",
            is_final=is_final,
            is_unusable=is_unusable,
            empty=empty,
        )

    def _without_key(self, text: str) -> str:
        key = self._client.api_key
        return text.replace(key, _HIDDEN) if key and key != "none" else text


def chosen_address(base_url: str | None) -> str | None:
    """The address that was given, else ``OPENAI_BASE_URL`` of the environment, else None: OpenAI's own."""
    return base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or None


def public_address(base_url: str | None) -> str:
    """An address as it may be shown and stored: without user, password, query."""
    address = chosen_address(base_url)
    if address is None:
        return "api.openai.com"
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _count(usage: object, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) else None


def _key_or_none() -> str:
    """A key for an address of the user's own, which may want none."""
    return os.environ.get("OPENAI_API_KEY") or "none"
