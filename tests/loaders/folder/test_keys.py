from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sv2r.loaders.folder.encodings import spell
from sv2r.loaders.folder.keys import named, read_key

COLOURS = st.integers(0, 2**24 - 1)


@given(COLOURS)
def test_a_colour_is_read_as_it_is_spelled(colour):
    key = read_key(spell(colour, True))
    assert key.colour
    assert key.matches(colour)
    assert not key.matches((colour + 1) % 2**24)
    assert read_key(f"#{colour:06x}") == read_key(f"#{colour:06X}")
    assert read_key(f"#{colour:06x}").matches(colour)


@given(COLOURS, COLOURS)
def test_a_star_stands_for_any_value_of_its_channel(colour, other):
    red = colour >> 16
    key = read_key(f"{red},*,*")
    assert key.matches(red << 16 | other & 0xFFFF)
    assert key.matches(other) == (other >> 16 == red)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-5, 10**6))
def test_a_range_holds_its_ends(first, second, value):
    low, high = sorted((first, second))
    assert read_key(f"{low}-{high}").matches(value) == (low <= value <= high)
    assert read_key(str(value)).matches(value)


@pytest.mark.parametrize(
    "text", ["", "red", "1,2", "1,2,3,4,5", "256,0,0", "1,2,x", "#12345", "5-2", "1.5", "-", "1,,2"]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(ValueError, match=r"is not an id|ends before"):
        read_key(text)


def test_a_single_value_comes_before_a_range_and_kinds_are_kept_apart():
    categories = named(
        (read_key(key), name)
        for key, name in (("1-9", "low"), ("7", "seven"), ("0,0,7", "blue"), ("*,*,7", "bluish"))
    )
    assert categories.category(5, colour=False) == "low"
    assert categories.category(7, colour=False) == "seven"
    assert categories.category(7, colour=True) == "blue"
    assert categories.category(0x010007, colour=True) == "bluish"
    assert categories.category(10, colour=False) is None
    assert categories.names() == {"low", "seven", "blue", "bluish"}
