from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sv2r.errors import ConfigError
from sv2r.loaders.coco import json_scan
from sv2r.loaders.coco.json_scan import Elements, Value, scan

ARRAYS, VALUES = frozenset({"images", "annotations"}), frozenset({"categories"})


def read(text, block=None):
    """Scan bytes in blocks of a size and return what Python makes of each part."""
    with pytest.MonkeyPatch.context() as patch:
        if block:
            patch.setattr(json_scan, "BLOCK", block)
        found = {}
        for part in scan(io.BytesIO(text), "a.json", arrays=ARRAYS, values=VALUES):
            if isinstance(part, Value):
                found[part.key] = json.loads(part.text)
                continue
            assert isinstance(part, Elements)
            assert text[part.offset : part.offset + len(part.text)] == part.text
            for start, end in zip(part.starts, part.ends, strict=True):
                found.setdefault(part.key, []).append(json.loads(part.text[start:end]))
        return found


def test_elements_and_values_are_cut_where_they_lie():
    text = b' {"v": 1, "images": [ {"a": [1, {"b": 2}]} , {} ], "w": [[{}]], "categories": [1]}\n'
    assert read(text) == {"images": [{"a": [1, {"b": 2}]}, {}], "categories": [1]}


def test_brackets_and_quotes_in_strings_count_for_nothing():
    images = [{"x": '}]"{['}, {"x": "\\"}, {"x": '\\"'}, {"\\\\": '\\\\"]'}]
    assert read(json.dumps({"images": images}).encode()) == {"images": images}


def test_a_byte_order_mark_is_passed_over():
    assert read(b'\xef\xbb\xbf{"images": [{}]}') == {"images": [{}]}


leaves = st.one_of(st.none(), st.integers(-99, 99), st.text('ab"\\[]{},: é\n', max_size=6))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text('id"\\', max_size=3), trees, max_size=3), max_size=5)


@given(
    st.fixed_dictionaries(
        {"images": objects},
        optional={"annotations": objects, "categories": st.lists(trees), "info": trees, "": leaves},
    ),
    st.integers(1, 40),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_any_object_in_blocks_of_any_size_is_cut_as_a_parser_would(
    data, block, indent, ensure_ascii
):
    text = json.dumps(data, indent=indent, ensure_ascii=ensure_ascii).encode()
    expected = {key: value for key, value in data.items() if key in ARRAYS and value}
    expected |= {key: value for key, value in data.items() if key in VALUES}
    assert read(text, block) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is no JSON object; COCO is an object of images, annotations, categories"),
        (b"hello", "it is no JSON object; COCO is an object of images, annotations, categories"),
        (
            b'[{"image_id": 1}]',
            (
                "it is a list, perhaps of results; "
                "COCO is an object of images, annotations, categories"
            ),
        ),
        ('{"images": []}'.encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (b'{"images": [{"id": 1}, {"id"', "the file ends before this does; export it again"),
        (b'{"images": [{"id": "1}]}', "the file ends before this does; export it again"),
        (b'{"images": {"1": {}}}', "'images' is not a list"),
        (b'{"images": [1, 2]}', "'images' does not end as a list of objects does"),
        (b'{"images": [1, {}]}', "'images' is not a list of objects"),
        (b'{"images": [{}, ]}', "'images' does not end as a list of objects does"),
        (b'{"images": [{}}', "'images' does not end as a list of objects does"),
        (b'{"images": [] "annotations": []}', "a comma is missing"),
        (b'{"images": [],, "annotations": []}', "this is not a member of an object"),
        (b'{"images": [],}', "this is not a member of an object"),
        (b"{images: []}", "this is not a member of an object"),
        (b'{"images": []]', "a ] closes the object"),
        (b'{"images": []} {"images": []}', "something follows the end of the object"),
        (b'{"images": [], "images": []}', "'images' is in it twice"),
    ],
)
@pytest.mark.parametrize("block", [None, 3])
def test_what_is_no_such_object_is_refused_with_the_reason(text, reason, block):
    with pytest.raises(ConfigError) as told:
        read(text, block)
    assert str(told.value).startswith(f"a.json: cannot be read as COCO: {reason}")


def test_an_error_says_where_in_the_file_it_is():
    with pytest.raises(ConfigError, match=r"'images' is in it twice \(byte 25\)$"):
        read(b'{"images": [], "images": []}', block=4)


def test_an_element_that_does_not_end_is_not_read_to_the_end_of_the_file(monkeypatch):
    monkeypatch.setattr(json_scan, "LARGEST", 100)
    stream = io.BytesIO(b'{"images": [{"x": [' + b"1, " * 10_000)
    with pytest.raises(ConfigError, match="what begins here does not end within 100 bytes"):
        list(scan(stream, "a.json", arrays=ARRAYS, values=VALUES))


@pytest.mark.parametrize("skipped", ["[1, 2]", '"text"', '{"a": "}"}', "[]"])
def test_what_is_not_asked_for_may_be_larger_than_what_is_kept(monkeypatch, skipped):
    monkeypatch.setattr(json_scan, "LARGEST", 100)
    text = f'{{"info": [{", ".join([skipped] * 500)}], "images": [{{}}]}}'.encode()
    assert read(text, block=16) == {"images": [{}]}
