"""`sv2r report` as it is typed."""

from __future__ import annotations

from tests.toys.outputs import make_output


def test_it_says_where_the_page_is(sv2r, tmp_path):
    out = make_output(tmp_path, ("a.png",))
    page = out / "sv2r" / "report.html"
    code, text, error = sv2r("report", out)
    assert (code, text, error) == (0, f"{page}  (0.1 MB)\n", "")
    assert page.is_file()


def test_a_picture_that_vanished_is_told(sv2r, tmp_path):
    out = make_output(tmp_path, ("a.png", "b.png"))
    next(out.rglob("b.png")).unlink()
    code, _, error = sv2r("report", out)
    assert code == 0
    assert error.startswith("note        ")
    assert "b.png" in error


def test_a_folder_that_is_no_output_is_one_line_and_exit_code_2(sv2r, tmp_path):
    (tmp_path / "empty").mkdir()
    assert sv2r("report", tmp_path / "empty") == (
        2,
        "",
        (
            f"Error: {tmp_path / 'empty'}: no output of sv2r (there is no sv2r/samples.jsonl); "
            "give the folder that --output named\n"
        ),
    )


def test_a_number_of_pictures_below_0_is_refused(sv2r, tmp_path):
    code, _, error = sv2r("report", tmp_path, "--embed", "-1")
    assert (code, "--embed" in error) == (2, True)
