import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.arena.address import ArenaAddress, parse_address
from svlm_cli.errors import UsageError


def test_shell_form_and_url_form_mean_the_same():
    expected = ArenaAddress("soccer", seed=7, minutes=10)
    assert parse_address("arena:soccer?seed=7&minutes=10") == expected
    assert parse_address("arena:soccer,seed=7,minutes=10") == expected


def test_defaults():
    assert parse_address("arena:soccer") == ArenaAddress("soccer", seed=0, minutes=10)
    assert parse_address("arena:soccer").duration_seconds == 600


def test_every_key():
    address = parse_address("arena:soccer?minutes=inf&fps=8&size=168x112&seed=123")
    assert address == ArenaAddress("soccer", 123, math.inf, 8, 168, 112)


@given(
    st.builds(
        ArenaAddress,
        seed=st.integers(0, 10**12),
        minutes=st.sampled_from([0.5, 1.0, 10.0, 120.0, math.inf]),
        fps=st.sampled_from([2.0, 8.0, 24.0, 29.97]),
        width=st.integers(56, 4096),
        height=st.integers(56, 4096),
    )
)
def test_text_of_an_address_reads_back(address):
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("arena:socer", "soccer"),
        ("arena:", "soccer"),
        ("arena:soccer?sed=7", "seed"),
        ("arena:soccer?colour=7", "minutes"),
        ("arena:soccer?seed=x", "arena:soccer"),
        ("arena:soccer?seed=-1", "arena:soccer"),
        (f"arena:soccer?seed={'9' * 5000}", "arena:soccer"),
        (f"arena:soccer?size={'9' * 5000}x1", "504x336"),
        ("arena:soccer?seed=1&seed=2", ""),
        ("arena:soccer?seed", "arena:soccer"),
        ("arena:soccer?minutes=0", "arena:soccer"),
        ("arena:soccer?minutes=0.001", "arena:soccer"),
        ("arena:soccer?minutes=nan", "arena:soccer"),
        ("arena:soccer?minutes=-inf", "arena:soccer"),
        ("arena:soccer?fps=0", "24"),
        ("arena:soccer?fps=inf", "24"),
        ("arena:soccer?size=big", "504x336"),
        ("arena:soccer?size=8x8", "504x336"),
        ("file.mp4", "arena:soccer"),
    ],
)
def test_wrong_address_is_a_usage_error_that_names_what_is_valid(text, hint):
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert hint in caught.value.hint
