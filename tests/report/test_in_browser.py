"""The page in a real browser: what moves, what filters, what a keyboard alone can do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from sv2r.images.png import encode_png
from sv2r.output.attempts import Attempt, keep_attempt
from sv2r.report.write import write_report
from tests.toys.outputs import make_output, scores

WORST_FIRST = ["a/1.png", "b/1.png", "a/0.png", "b/0.png", "c.png"]


def at(page) -> float:
    """Return where the boundary between before and after stands, in percent."""
    return float(page.locator("#frame").evaluate("e => e.style.getPropertyValue('--at')"))


def test_the_worst_come_first_and_names_scores_and_reasons_are_shown(open_page, report):
    opened = open_page(report)
    assert opened.names() == WORST_FIRST
    cards = opened.page.locator(".card")
    assert "truncated after 12 bytes" in cards.nth(0).inner_text()
    assert "1 instance has lost the boundary" in cards.nth(1).inner_text()
    assert "0.31" in cards.nth(2).inner_text()
    assert opened.page.title() == "out · sv2r report"
    assert opened.page.locator("h1").inner_text() == "out"


def test_filters_filter_by_status_category_repair_and_words(open_page, report):
    opened = open_page(report)
    page = opened.page
    page.locator("[name=status]").nth(0).uncheck()
    assert opened.names() == ["a/1.png", "b/1.png"]
    assert page.locator("#count").inner_text() == "2 of 5 pictures"
    page.locator("[name=status]").nth(2).uncheck()
    assert opened.names() == ["b/1.png"]
    page.locator("[name=status]").nth(0).check()
    page.get_by_label("Search").fill("photo a/")
    assert opened.names() == ["a/0.png"]
    page.get_by_label("Search").fill("")
    page.get_by_label("made again or repaired").check()
    assert opened.names() == ["a/0.png"]
    page.get_by_label("Search").fill("nowhere")
    assert opened.names() == []
    assert page.get_by_text("No picture fits these filters.").is_visible()


def test_a_category_filters_from_the_list_and_from_the_table(open_page, tmp_path):
    def mugs_alone(record):
        return (
            replace(record, instances={"coffee_mug": [1, 2]})
            if record.sample == "a.png"
            else record
        )

    output = make_output(tmp_path, ("a.png", "b.png"), mugs_alone)
    opened = open_page(write_report(output))
    page = opened.page
    page.locator("#category").select_option(label="bowl (1)")
    assert opened.names() == ["b.png"]
    page.get_by_role("button", name="coffee_mug").click()
    assert opened.names() == ["a.png", "b.png"]
    assert page.locator("#category").input_value() == "1"


def test_orders_sort(open_page, report):
    opened = open_page(report)
    opened.page.locator("#order").select_option("name")
    assert opened.names() == ["a/0.png", "a/1.png", "b/0.png", "b/1.png", "c.png"]
    opened.page.locator("#order").select_option("shift")
    assert opened.names()[0] == "b/1.png"
    opened.page.locator("#order").select_option("best")
    assert opened.names() == WORST_FIRST[::-1]


def test_the_slider_moves_by_mouse_and_by_keyboard(open_page, report):
    page = open_page(report).page
    page.locator(".card").nth(2).click()
    assert at(page) == pytest.approx(100 * 9 / 43, abs=0.5)  # through the worst instance
    box = page.locator("#frame").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert at(page) == pytest.approx(25, abs=1)
    clipped = page.locator("#after").evaluate("e => getComputedStyle(e).clipPath")
    assert clipped.startswith("inset(0px 0px 0px 25")
    page.locator("#slider").focus()
    page.keyboard.press("End")
    assert at(page) == 100
    page.keyboard.press("Home")
    assert at(page) == 0
    page.keyboard.press("b")
    assert at(page) == 100


def test_before_and_after_are_the_pictures_of_the_two_folders(open_page, report, out, tmp_path):
    page = open_page(report).page
    page.locator(".card").nth(2).click()
    shown = {id_: page.locator(f"#{id_}").evaluate("e => e.src") for id_ in ("before", "after")}
    paths = {id_: Path(unquote(urlparse(url).path)) for id_, url in shown.items()}
    assert paths == {"before": tmp_path / "renders/a/0.png", "after": out / "a/0.png"}
    for id_ in shown:
        assert page.locator(f"#{id_}").evaluate("e => e.decode().then(() => e.naturalWidth)") == 43


def test_contours_come_and_go_in_the_cards_and_in_the_viewer(open_page, report):
    page = open_page(report).page
    assert page.locator(".card path[data-id]").count() == 0
    page.get_by_label("contours of the labels").check()
    assert page.locator(".card path[data-id]").count() == 10
    page.locator(".card").nth(2).click()
    assert page.locator("#outlines path[data-id]").count() == 2
    classes = page.locator("#outlines path[data-id]").evaluate_all(
        "nodes => Object.fromEntries(nodes.map(n => [n.dataset.id, n.getAttribute('class')]))"
    )
    assert classes == {"1": "contour bad", "2": "contour none"}
    assert page.locator("#outlines [data-id='1']").get_attribute("d") == "M3 6h12v14h-12z"
    page.keyboard.press("c")
    assert page.locator("#outlines path").count() == 0
    page.keyboard.press("Escape")
    assert page.locator(".card path").count() == 0


def test_an_instance_is_shown_by_its_name_in_the_list(open_page, report):
    page = open_page(report).page
    page.locator(".card").nth(2).click()
    page.get_by_role("button", name="coffee_mug #1").click()
    assert page.locator("#outlines .lit").get_attribute("data-id") == "1"
    page.get_by_role("button", name="coffee_mug #1").click()
    assert page.locator("#outlines .lit").count() == 0


def test_a_keyboard_alone_is_enough(open_page, report):
    page = open_page(report).page
    page.keyboard.press("/")
    page.keyboard.type("photo")
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#viewer-title").inner_text() == "a/0.png"
    assert page.evaluate("document.activeElement.id") == "slider"
    before = at(page)
    page.keyboard.press("ArrowRight")
    assert at(page) > before
    page.keyboard.press("j")
    assert page.locator("#viewer-title").inner_text() == "b/0.png"
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert page.locator("#viewer-title").inner_text() == "b/1.png"
    page.keyboard.press("z")
    assert page.locator("#zoom").inner_text() == "Zoom: 2×"
    page.keyboard.press("Escape")
    expect(page.locator(".card").nth(1)).to_be_focused()
    assert not page.locator("#viewer").is_visible()


def test_the_facts_of_a_picture_are_all_there(open_page, report):
    page = open_page(report).page
    page.locator(".card").nth(2).click()
    facts = page.locator("#facts").inner_text()
    for text in ("Done", "restore: instance 1", "a photo of a/0.png", "281474976710655", "0.31"):
        assert text in facts
    page.get_by_text("Settings that ran").click()
    assert "2.9.0" in page.locator("#facts").inner_text()


def test_what_was_rejected_shows_its_source_and_says_so(open_page, report):
    page = open_page(report).page
    page.locator(".card").nth(1).click()
    assert page.locator("#tag-before").inner_text() == "source, nothing was published"
    assert not page.locator("#after").is_visible()
    assert page.locator("#slider").is_disabled()
    assert "31 (0.12)" in page.locator("#facts").inner_text()


def test_a_link_opens_a_picture(open_page, report):
    page = open_page(report, "#picture=b%2F0.png").page
    assert page.locator("#viewer-title").inner_text() == "b/0.png"
    page.get_by_role("button", name="Close").click()
    expect(page).to_have_url(report.as_uri())
    assert not page.locator("#viewer").is_visible()


def test_light_and_dark_follow_the_system_and_can_be_chosen(open_page, report):
    light, dark = "rgb(245, 246, 247)", "rgb(18, 21, 24)"
    night = open_page(report, color_scheme="dark").page
    expect(night.locator("body")).to_have_css("background-color", dark)
    page = open_page(report, color_scheme="light").page
    body, theme = page.locator("body"), page.locator("#theme")
    expect(body).to_have_css("background-color", light)
    theme.click()
    expect(theme).to_have_text("Theme: light")
    theme.click()
    expect(theme).to_have_text("Theme: dark")
    expect(body).to_have_css("background-color", dark)
    page.reload()
    expect(theme).to_have_text("Theme: dark")
    expect(body).to_have_css("background-color", dark)


@pytest.mark.parametrize("width", [1280, 860, 400, 320])
def test_nothing_is_wider_than_the_window(open_page, report, width):
    page = open_page(report, width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".card").nth(2).click()
    assert page.evaluate("document.getElementById('viewer').scrollWidth") <= width
    box = page.locator("#frame").bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= width


def test_all_scores_of_an_instance_are_seen_on_a_phone(open_page, report):
    page = open_page(report, width=390).page
    page.locator(".card").nth(2).click()
    wide, room = page.locator(".instances-scroll").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide <= room


def test_many_pictures_come_in_pages(open_page, tmp_path):
    output = make_output(tmp_path, tuple(f"{n:03}.png" for n in range(100)))
    opened = open_page(write_report(output, embedded=3))
    page = opened.page
    assert len(opened.names()) == 48
    assert page.locator("#count").inner_text() == "All 100 pictures, 1 to 48 shown"
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    assert opened.names() == [f"{n:03}.png" for n in range(96, 100)]
    assert page.locator("#page-after").is_disabled()
    page.locator(".card").first.click()
    assert page.locator("#viewer-contours").is_disabled()
    assert page.get_by_text("no contours in the page").is_visible()


HOSTILE = (
    "</script><script>alert(1)</script>.png",
    "\"><img src=x onerror=alert(2)>'.png",
    "日本 & caffè #1?%20.png",
    "a b{{ 7 * 7 }}{% raw %}.png",
    "javascript:alert(3).png",
)


def test_hostile_names_prompts_and_reasons_are_only_text(open_page, tmp_path):
    def hostile(record):
        reason = f"{record.sample}: <b>bold</b></script><script>alert(4)</script>"
        text = {"prompt": "\u2028<img src=x onerror=alert(5)>", "drawn": {"<i>": "</dd>"}}
        settings = {"model": "</script><script>alert(6)</script>"}
        return replace(record, **text, settings=settings, error=reason, repairs=("<u>x</u>",))

    output = make_output(tmp_path, HOSTILE, hostile)
    opened = open_page(write_report(output))
    page = opened.page
    assert sorted(opened.names()) == sorted(HOSTILE)
    for name in HOSTILE:
        page.locator(".card").nth(opened.names().index(name)).click()
        assert page.locator("#viewer-title").text_content() == name
        for id_ in ("before", "after"):
            loaded = page.locator(f"#{id_}").evaluate("e => e.decode().then(() => e.naturalWidth)")
            assert loaded >= 40
        facts = page.locator("#facts").inner_text()
        assert "<img src=x onerror=alert(5)>" in facts
        assert "<b>bold</b></script><script>alert(4)</script>" in facts
        page.keyboard.press("Escape")
    assert page.locator("script").count() == 2
    assert page.locator("main b, #facts b").filter(has_text="bold").count() == 0


def test_a_picture_that_vanished_since_is_named_and_its_copy_shown(browser, report, out):
    (out / "a/0.png").unlink()
    (out / "b/0.png").unlink()
    page = browser.new_page()
    page.goto(report.as_uri())
    page.locator(".card").nth(2).click()
    page.locator("#gone").wait_for()
    assert page.locator("#gone").inner_text() == (
        "The picture after the conversion is not at ../a/0.png, or of a kind that browsers do not "
        "show; this is a small copy."
    )
    assert page.locator("#after").evaluate("e => e.decode().then(() => e.naturalWidth)") == 43
    page.close()


def test_a_page_with_nothing_in_it_opens(open_page, tmp_path):
    output = make_output(tmp_path, ("a.png",))
    (output / "sv2r" / "samples.jsonl").write_text("")
    page = open_page(write_report(output)).page
    assert page.get_by_text("This run has no pictures.").is_visible()


def test_where_the_browser_cannot_show_the_format_the_copy_is_shown(browser, tmp_path):
    output = make_output(
        tmp_path, ("a.tif",), lambda r: replace(r, scores=scores({1: 0.5, 2: 0.9}))
    )
    with Image.open(output / "a.tif") as picture:
        assert picture.format == "TIFF"
    page = browser.new_page()
    page.goto(write_report(output).as_uri())
    image = page.locator(".card img.after")
    assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") == 43
    page.close()


def attempted(output: Path, sample: str, number: int, *, best: bool) -> None:
    """Keep an attempt: a picture of one colour."""
    attempt = Attempt(sample, 0, number, 7 + number, ["survival: 1 instance is lost"], best, {})
    pixels = np.full((37, 43, 3), 40 * number, np.uint8)
    keep_attempt(output, attempt, encode_png(pixels), 10)


def test_what_was_rejected_is_shown_by_its_best_attempt_and_the_others_can_be(open_page, out):
    for number in range(3):
        attempted(out, "b/1.png", number, best=number == 1)
    page = open_page(write_report(out)).page
    page.locator(".card").nth(1).click()
    assert page.locator("#tag-after").inner_text() == "best attempt, not published"
    assert not page.locator("#slider").is_disabled()

    def levels():
        return page.locator("#after").evaluate(
            "async e => { await e.decode(); const c = document.createElement('canvas');"
            " c.width = e.naturalWidth; c.height = e.naturalHeight; return [c.width, e.src]; }"
        )

    assert levels()[0] == 43
    assert levels()[1].endswith("-1.png")
    told = page.locator(".instead").inner_text()
    assert "first attempt seed 7" in told.replace("\n", " ")
    assert "retry 1, the best" in told
    assert "survival: 1 instance is lost" in told
    page.locator(".instead button").nth(2).click()
    assert page.locator("#tag-after").inner_text() == "retry 2, not published"
    assert levels()[1].endswith("-2.png")
    page.locator(".instead button").nth(2).click()
    assert levels()[1].endswith("-1.png")


def test_the_wheel_zooms_about_the_pointer_and_a_drag_moves_the_picture(open_page, report):
    page = open_page(report).page
    page.locator(".card").nth(3).click()
    box = page.locator("#frame").bounding_box()
    x, y = box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.6

    def under(x: float, y: float) -> list[float]:
        now = page.locator("#frame").bounding_box()
        return [(x - now["x"]) / now["width"], (y - now["y"]) / now["height"]]

    page.mouse.move(x, y)
    for _ in range(6):
        page.mouse.wheel(0, -120)
    expect(page.locator("#zoom")).not_to_have_text("Zoom: fit")
    page.wait_for_timeout(50)
    assert page.locator("#frame").bounding_box()["width"] > 2 * box["width"]
    assert under(x, y) == pytest.approx([0.25, 0.6], abs=0.03)
    before = at(page)
    page.mouse.down()
    page.mouse.move(x + 40, y - 30)
    page.mouse.up()
    assert at(page) == before
    assert under(x + 40, y - 30) == pytest.approx([0.25, 0.6], abs=0.03)
    for _ in range(12):
        page.mouse.wheel(0, 120)
    expect(page.locator("#zoom")).to_have_text("Zoom: fit")


def test_a_small_instance_that_is_worst_is_brought_to_the_middle(open_page, tmp_path):
    def low(record):
        return replace(record, scores=scores({1: 0.1, 2: 0.9}))

    output = make_output(tmp_path, ("a.png",), low)
    data = json.loads((tmp_path / "renders/annotations.json").read_text())
    corners = [36, 21, 40, 21, 40, 25, 36, 25]
    data["annotations"][0] |= {"segmentation": [corners], "bbox": [36, 21, 4, 4], "area": 16}
    (tmp_path / "renders/annotations.json").write_text(json.dumps(data))
    page = open_page(write_report(output)).page
    page.locator(".card").first.click()
    room, frame = (page.locator(f"#{id_}").bounding_box() for id_ in ("room", "frame"))
    assert page.locator("#zoom").inner_text() != "Zoom: fit"
    left = frame["x"] + 36 / 43 * frame["width"]
    top = frame["y"] + 21 / 27 * frame["height"]
    side = 4 / 43 * frame["width"]
    assert side > room["width"] / 6
    assert room["x"] <= left <= left + side <= room["x"] + room["width"]
    assert room["y"] <= top <= top + side <= room["y"] + room["height"]


def test_scores_filter_and_what_is_marked_or_shown_is_saved_as_a_list(open_page, report, tmp_path):
    opened = open_page(report)
    page = opened.page
    page.locator("#score").select_option("worst")
    page.locator("#to").fill("0.8")
    assert opened.names() == ["b/1.png", "a/0.png", "b/0.png"]
    page.locator("#from").fill("0.2")
    assert opened.names() == ["a/0.png", "b/0.png"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the list of 2 shown").click()
    download.value.save_as(tmp_path / "shown.txt")
    assert (tmp_path / "shown.txt").read_text() == "a/0.png\nb/0.png\n"
    page.locator("#score").select_option("shift")
    page.locator("#from").fill("")
    page.locator("#to").fill("0.5")
    assert opened.names() == ["a/0.png", "b/0.png", "c.png"]
    page.locator("#to").fill("")
    page.locator(".card").nth(4).focus()
    page.keyboard.press("m")
    page.locator(".card").nth(0).click()
    page.get_by_role("button", name="Mark", exact=True).click()
    assert page.locator("#mark").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the list of 2 marked").click()
    download.value.save_as(tmp_path / "marked.txt")
    assert (tmp_path / "marked.txt").read_text() == "a/1.png\nc.png\n"


def test_what_was_restored_is_marked(open_page, tmp_path):
    def one(record):
        return replace(record, scores=scores({1: 0.9, 2: 0.9}), restored=(2,))

    page = open_page(write_report(make_output(tmp_path, ("a.png",), one))).page
    page.get_by_label("contours of the labels").check()
    classes = page.locator(".card path[data-id]").evaluate_all(
        "nodes => Object.fromEntries(nodes.map(n => [n.dataset.id, n.getAttribute('class')]))"
    )
    assert classes == {"1": "contour good", "2": "contour restored"}
    assert page.get_by_text("pixels of the render").is_visible()


def test_control_maps_are_made_again_and_shown_in_the_results_place(open_page, tmp_path):
    conditioners = {"canny": {}, "instance-boundary": {}, "gone": {}}
    output = make_output(tmp_path, ("a.png",), conditioners=conditioners)
    said = []
    page = open_page(write_report(output, controls=True, say=said.append)).page
    assert [line[:46] for line in said] == ["the gone conditioner cannot be run again: no c"]
    page.locator(".card").first.click()
    maps = page.locator(".instead button")
    assert maps.all_inner_texts() == ["canny", "instance-boundary"]
    maps.nth(0).click()
    assert page.locator("#tag-after").inner_text() == "control map: canny"
    shown = page.locator("#after").evaluate("e => e.decode().then(() => [e.naturalWidth, e.src])")
    assert shown[0] == 43
    assert shown[1].startswith("data:image/jpeg")
    maps.nth(0).click()
    assert page.locator("#tag-after").inner_text() == "after"
    plain = open_page(write_report(output)).page
    plain.locator(".card").first.click()
    assert plain.locator(".instead").count() == 0
