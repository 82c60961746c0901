"""Numbers that a user types: any text is a number within its bounds, or one plain refusal."""

from __future__ import annotations

import random

import pytest

from svlm_cli import values
from svlm_cli.errors import UsageError
from svlm_cli.media.tracks import SoundChoice
from svlm_cli.settings import MOST_PIXELS, StreamSettings
from svlm_cli.stream.page.web import parse_address


@pytest.mark.parametrize("seed", range(20))
def test_digits_write_a_number(seed: int) -> None:
    dice = random.Random(f"digits {seed}")
    most = dice.choice([9, 65_535, 10**15])
    number = dice.randrange(2 * most)
    zeros = "0" * dice.choice([0, 3, 5000])
    assert values.digits(f"{zeros}{number}", most) == (number if number <= most else None)
    odd = dice.choice(["", " 1", "-1", "1.0", "1e3", "\u0661", "\u00b2", "1_0", "9" * 5000])
    assert values.digits(odd, most) is None


@pytest.mark.parametrize("seed", range(5))
def test_endless_numbers_are_refused_in_a_line(seed: int) -> None:
    dice = random.Random(f"endless {seed}")
    number = "".join(dice.choices("123456789", k=dice.randint(4301, 9000)))
    for ask in (
        lambda: parse_address(f"127.0.0.1:{number}"),
        lambda: parse_address(number),
        lambda: SoundChoice(number),
    ):
        with pytest.raises(UsageError) as raised:
            ask()
        assert len(str(raised.value)) < 250
    port = dice.randrange(65_536)
    assert parse_address(f"[::1]:{port}") == ("::1", port)
    assert SoundChoice(str(1 + port % 9999)).number == 1 + port % 9999


def test_frames_of_no_computer_are_refused() -> None:
    with pytest.raises(UsageError, match="--min-pixels"):
        StreamSettings(min_pixels=MOST_PIXELS + 1)
