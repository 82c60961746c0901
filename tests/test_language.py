from __future__ import annotations

import pytest
from yt_dlp.utils import ISO639Utils

from svlm_cli.language import is_known, is_language, language_code


def test_every_code_of_three_letters_is_that_of_two() -> None:
    for short, long in ISO639Utils._lang_map.items():
        if short not in ("iw", "in", "ji", "pe"):  # three of old, and one that is none: per is Persian
            assert language_code(long) == language_code(short) == short


@pytest.mark.parametrize("tag", ["en", "eng", "EN", "en-GB", "en_US", "Eng", "en-orig", "eng-US", " en "])
def test_english_however_it_is_written(tag: str) -> None:
    assert is_language(tag, "en")
    assert is_language("en", tag)
    assert is_known(tag)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("fre", "fr"), ("fra", "fr"), ("ger", "de"), ("deu", "de"), ("chi", "zh"), ("cmn-Hans", "zh"),
        ("cze", "cs"),
        ("dut", "nl"), ("gre", "el"), ("slo", "sk"), ("slv", "sl"), ("iw", "he"), ("pt-BR", "pt"),
        ("zxx", "zxx"),
        ("gsw", "gsw"), ("nob", "nb"), ("nor", "no"), ("yue", "yue"), ("", ""),
    ],
)  # fmt: skip
def test_the_forms_of_iso_639(tag: str, code: str) -> None:
    assert language_code(tag) == code


@pytest.mark.parametrize("tag", ["und", "", "mul", "UND"])
def test_what_is_unknown_is_of_no_language(tag: str) -> None:
    assert not is_language(tag, tag)
