"""Short names for long contents: what results, settings and stored replies are found again by."""

from __future__ import annotations

import hashlib
import json


def digest(content: object, digits: int = 16) -> str:
    """The first hexadecimal digits of a SHA-256.

    Args:
        content: text, or plain values, which count as JSON with sorted keys.
        digits: how many, 64 at most.
    """
    text = content if isinstance(content, str) else json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
