"""A file that is sent again and again, and broadcasts that only look so."""

from __future__ import annotations

from svlm_cli.media.live.sent_again import SentAgain


def test_a_broadcast_that_begins_again_is_no_file() -> None:
    """Bars of a test, sent as time goes by; what is sent at once, but is not the same; a file."""
    for step, is_same, is_file in ((1.0, True, False), (0.0, False, False), (0.0, True, True)):
        sent, wall = SentAgain(), 100.0
        for connection in range(2):
            data = b"a" if is_same else bytes([connection])
            assert sent.begins(1.4, data, wall) == (is_file and connection == 1)
            for number in range(100):
                wall += 0.04 * step
                sent.goes_on(1.4 + 0.04 * (number + 1), wall)
            wall += 0.3
