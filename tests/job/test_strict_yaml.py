"""YAML as people expect it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sv2r.errors import ConfigError
from sv2r.storage.strict_yaml import read_yaml, write_yaml


def test_numbers_are_numbers_and_words_are_words():
    text = "a: 1e-5\nb: no\nc: on\nd: .5\ne: 1:30\nf: 2024-01-01\ng: 08\nh: 0x1f\ni: null\nj: true"
    assert read_yaml(text, "x") == {
        "a": 1e-5,
        "b": "no",
        "c": "on",
        "d": 0.5,
        "e": "1:30",
        "f": "2024-01-01",
        "g": 8,
        "h": 31,
        "i": None,
        "j": True,
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3", "c.yaml line 3: the key 'a' stands twice; keep one of them"),
        ("a: {b: 1, b: 2}", "c.yaml line 1: the key 'b' stands twice; keep one of them"),
        ("- 1\n- 2", "c.yaml: a config is a mapping of names to values"),
        ("1: x", "c.yaml: a config is a mapping of names to values"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(text, line):
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "c.yaml")
    assert str(caught.value) == line


def test_code_in_yaml_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"line 1: the tag .* is not read; write a plain value"):
        read_yaml(f"a: !!python/object/apply:os.mkdir ['{tmp_path}/x']", "c.yaml")
    assert not (tmp_path / "x").exists()


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ["no", "1e-5", "1:30", "~", "", "08", "0x1f", "- a", "# b", "a: b", "<<", "="]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _values, max_size=4))
def test_what_is_written_is_read_back_equal(data):
    assert read_yaml(write_yaml(data), "x") == data
