"""Numbers that a user types: any text is a number within its bounds, or one plain refusal."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import svlm_cli
from svlm_cli import values
from svlm_cli.arena.address import parse_address as arena_address
from svlm_cli.errors import UsageError
from svlm_cli.media.address import is_live_address
from svlm_cli.media.tracks import SoundChoice
from svlm_cli.sections.base import Section
from svlm_cli.settings import MOST_PIXELS, StreamSettings
from svlm_cli.stream.outputs.rotation import FileRotation
from svlm_cli.stream.page.web import parse_address
from svlm_cli.stream.questions import read_questions
from svlm_cli.yaml_text import parse_yaml


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


ODD_NUMBERS = (
    "1_0",
    " 1",
    "1 ",
    "\u0661",
    "\u00b2",
    "0x1f",
    "1e",
    "--1",
    "nan",
    "NaN",
    "infinity",
    "1:30",
    "",
)


@pytest.mark.parametrize("seed", range(10))
def test_text_is_a_number_by_one_rule(seed: int) -> None:
    dice = random.Random(f"decimal {seed}")
    number = dice.choice([dice.uniform(-1e9, 1e9), dice.uniform(0, 1e-6), float(dice.randrange(10**12))])
    for text in (repr(number), json.dumps(number), f"{number:.3f}", f"{number:e}"):
        assert values.decimal(text) == float(text)
    for odd in (*ODD_NUMBERS, "1e999", "9" * 400):
        assert values.decimal(odd) is None


class Figures(Section):
    """A section with numbers of each kind."""

    whole: int = 0
    real: float | None = None
    text: str = ""


@pytest.mark.parametrize("odd", [odd for odd in ODD_NUMBERS if odd.strip() == odd and odd])
def test_documents_hold_no_odd_numbers(odd: str) -> None:
    for written in (odd, json.dumps(odd)):  # as it is, and quoted
        content = parse_yaml(f"whole: {written}\n")
        with pytest.raises(ValidationError):
            Figures.model_validate(content)
        with pytest.raises(ValidationError):
            Figures.model_validate({"real": content["whole"]})
        assert Figures.model_validate({"text": content["whole"]}).text == odd
    for value in (True, "yes"):
        with pytest.raises(ValidationError):
            Figures.model_validate({"whole": value})


@pytest.mark.parametrize("seed", range(5))
def test_documents_hold_the_numbers_that_they_show(seed: int) -> None:
    dice = random.Random(f"yaml {seed}")
    whole, real = dice.randrange(10**9), dice.uniform(0, 1e-4)
    written = f"{{whole: {dice.choice(['', '0', '+'])}{whole}, real: {real!r}}}"
    assert parse_yaml(written) == {"whole": whole, "real": real}
    assert Figures.model_validate({"whole": str(whole), "real": repr(real)}) == Figures(
        whole=whole, real=real
    )


def test_no_pattern_takes_digits_of_other_scripts_for_numbers() -> None:
    """``int`` and ``float`` take them too: what a pattern lets through is read as another number."""
    found = {
        path.name
        for path in Path(svlm_cli.__file__).parent.rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"(?<!\[\^\\W)\\d", line)
    }
    assert found <= {
        "line_file.py",
        "letter_grammar.py",
        "verdict_grammar.py",
        "replies.py",
        "ovo_score.py",
    }  # no number is read there


@pytest.mark.parametrize("odd", ["\u0661", "1_0"])
def test_sources_questions_and_parts_have_plain_numbers(odd: str, tmp_path: Path) -> None:
    (tmp_path / "asked").write_text(f"{odd} Who?\n")
    for ask in (
        lambda: read_questions(tmp_path / "asked"),
        lambda: FileRotation.of(f"{odd}d"),
        lambda: arena_address(f"arena:soccer?minutes={odd}"),
        lambda: arena_address(f"arena:soccer?fps={odd}"),
    ):
        with pytest.raises(UsageError):
            ask()
    assert not any(map(is_live_address, ("camera:\u0661", "camera:0\n", "/dev/video\u0661")))
    (tmp_path / "asked").write_text("12.5 Who?\n")
    assert read_questions(tmp_path / "asked") == [(12.5, "Who?")]
