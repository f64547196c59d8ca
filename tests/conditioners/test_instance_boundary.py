from __future__ import annotations

import numpy as np
import pytest

from sv2r.conditioners.instance_boundary import InstanceBoundaryOptions, sv2r_conditioners
from sv2r.plugin.specs import Runtime
from sv2r.testing import check_conditioner

(SPEC,) = sv2r_conditioners()


@pytest.fixture
def lines(make_frame):
    def draw(text: str, overlaps=None, **options) -> str:
        """The lines of a label map (one digit per pixel, "." for background) as "#"."""
        labels = np.array([[int(d) for d in row] for row in text.replace(".", "0").split()])
        frame = make_frame(np.zeros((3, *labels.shape)), labels, overlaps=overlaps)
        control = SPEC.build(InstanceBoundaryOptions(**options), Runtime())(frame)
        assert control.name == "instance-boundary"
        rows = control.image.numpy()
        assert (rows == rows[0]).all()
        return " ".join("".join("#" if pixel else "." for pixel in row) for row in rows[0])

    return draw


@pytest.mark.parametrize(
    "options", [{}, {"thickness": 1}, {"thickness": 5}, {"side": "inner"}], ids=str
)
def test_it_keeps_the_contract_of_conditioners(options):
    check_conditioner(SPEC, options)


def test_a_line_covers_both_sides_of_the_boundary(lines):
    assert lines("...... .3333. .3333. .3333. ......") == "###### ###### ##..## ###### ######"


def test_touching_instances_of_one_category_are_told_apart(lines):
    assert lines("111222 111222") == "..##.. ..##.."


@pytest.mark.parametrize(
    ("thickness", "expected"), [(1, "...#...."), (2, "...##..."), (3, "..###..."), (4, "..####..")]
)
def test_a_line_is_as_thick_as_asked(lines, thickness, expected):
    assert lines("....7777", thickness=thickness) == expected


def test_inner_lines_lie_inside_each_instance(lines):
    drawn = lines(".......... .111122222 .111122222 .111122222", side="inner", thickness=1)
    assert drawn == ".......... .######### .#..##.... .#..##...."


def test_what_another_instance_hides_has_no_line(lines):
    hidden = {2: np.array([0, 1])}
    assert lines("1111.. 1111.. ....22", overlaps=hidden) == lines("1111.. 1111.. ....22")


def test_a_picture_of_one_label_has_no_line(lines):
    assert lines("1111 1111") == ".... ...."
    assert lines("...") == "..."
