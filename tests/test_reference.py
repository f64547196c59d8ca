"""The reference pages say what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from sv2r.plugin.registry import Registry

ROOT = Path(__file__).parents[1]


def test_no_reference_page_is_stale(registry: Registry) -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    stale = generate["stale"](generate["pages"](registry))
    assert stale == [], "run: uv run python docs/generate.py"


def test_what_a_docstring_says_of_fields_is_told_apart() -> None:
    described = runpy.run_path(str(ROOT / "docs" / "generate.py"))["described"]

    class Shape:
        """A box.

        width, height: in pixels. name: what it is
            called: twice.
        """

    assert described(Shape, ["width", "height", "name", "depth"]) == {
        "": "A box.",
        "width": "in pixels.",
        "height": "in pixels.",
        "name": "what it is called: twice.",
    }


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "reference").glob("*.md")))
def test_a_reference_page_says_that_it_is_generated(page: Path) -> None:
    assert "docs/generate.py" in page.read_text(encoding="utf-8").splitlines()[2]
