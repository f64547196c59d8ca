"""What speaks against what masks were taken for is told, and what is right is not doubted."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.toys.folders import dataset, put

SIZE = 96


def discs(seed, count=4, ground=0, values=None):
    """Return a mask of discs that do not touch, of values 1, 2, 3 ... on a ground."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    mask = np.full((SIZE, SIZE), ground, np.int64)
    for number in range(count):
        top, left = 12 + 24 * (number // 2), 20 + 40 * (number % 2) + seed
        inside = (rows - top) ** 2 + (columns - left) ** 2 < (7 + number) ** 2
        mask[inside] = values[number] if values else number + 1
    return mask


def coloured(mask, colours):
    return np.array(colours, np.uint8)[mask]


def smooth(array, factor=4):
    """Return a mask as an anti-aliasing renderer writes it."""
    large = Image.fromarray(
        np.kron(array, np.ones((factor, factor, *[1] * (array.ndim - 2)), array.dtype))
    )
    shifted = large.transform(large.size, Image.Transform.AFFINE, (1, 0.1, 0, -0.1, 1, 2))
    return np.asarray(shifted.resize((array.shape[1], array.shape[0]), Image.Resampling.BOX))


def jpeg(array, quality=90):
    data = io.BytesIO()
    Image.fromarray(array).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))


def doubts(root, masks, **options):
    """Return the doubts of a dataset with these masks."""
    for number, mask in enumerate(masks):
        values = np.random.default_rng(number).integers(0, 255, (*mask.shape[:2], 3), np.uint8)
        put(root / f"images/{number}.png", values)
        put(root / f"masks/{number}.png", mask)
    return dataset(root, **options).doubts


def bytes_of(masks):
    return [mask.astype(np.uint8) for mask in masks]


WHITE = [(0, 0, 0), *[(255, 255, 255)] * 9]
COLOURS = [(0, 0, 0), (250, 30, 30), (30, 250, 30), (20, 60, 250), (250, 250, 20)]
PLAIN = [discs(seed) for seed in range(4)]


@pytest.mark.parametrize(
    ("make", "taken"),
    [
        (lambda mask: smooth((mask > 0).astype(np.uint8) * 255), "black and white"),
        (lambda mask: jpeg((mask > 0).astype(np.uint8) * 255), "black and white"),
        (lambda mask: jpeg(coloured(mask, WHITE)), "black and white"),
        (lambda mask: smooth(coloured(mask, COLOURS)), "each such value becomes an instance"),
        (lambda mask: jpeg(coloured(mask, COLOURS), 95), "each such value becomes an instance"),
        (lambda mask: smooth((mask * 60).astype(np.uint8)), "each such value becomes an instance"),
    ],
)
def test_smoothed_masks_are_doubted_and_black_and_white_is_cut_at_half(tmp_path, make, taken):
    masks = [make(mask) for mask in PLAIN]
    (doubt,) = doubts(tmp_path, masks)
    assert "in specks along edges" in doubt
    assert taken in doubt
    if taken == "black and white":
        tables = [len(s.load_instances().table) for s in dataset(tmp_path).samples]
        assert tables == [1, 1, 1, 1]
        assert dataset(tmp_path, encoding="binary").doubts == ()


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (
            bytes_of(discs(s, values=[1, 2, 3, 255]) for s in range(3)),
            "value 255 stands next to 1 to 3",
        ),
        ([discs(s, values=[1, 2, 3, 65535]).astype(np.uint16) for s in range(3)], "value 65535 "),
        (bytes_of(discs(s, ground=1, values=[2, 3, 4, 5]) for s in range(3)), "value 1 covers"),
        (bytes_of(255 - 255 * (discs(s) > 0) for s in range(3)), "value 255 covers"),
        (bytes_of(np.full((SIZE, SIZE), 7) for _ in range(3)), "value 7 covers 100%"),
        (
            [coloured(discs(s), [(70, 130, 180), *COLOURS[1:]]) for s in range(3)],
            "(70, 130, 180) covers",
        ),
        (
            [coloured(discs(s), [(255, 255, 255), *COLOURS[1:]]) for s in range(2)],
            "(255, 255, 255) covers",
        ),
        (
            [discs(s, values=[26001, 26002, 24001, 7]).astype(np.uint16) for s in range(3)],
            "look like class × 1000 + n, such as 24001 = 24 × 1000 + 1",
        ),
        (
            [discs(s, values=[6657, 6658, 6145, 1792]).astype(np.uint16) for s in range(3)],
            "look like class × 256 + n, such as 6145 = 24 × 256 + 1",
        ),
        (
            [discs(s, values=[1001, 2001, 2002, 10000]).astype(np.uint16) for s in range(3)],
            "look like class × 1000 + n, such as 1001 = 1 × 1000 + 1",
        ),
    ],
)
def test_what_looks_like_something_else_is_doubted(tmp_path, masks, words):
    (doubt,) = doubts(tmp_path, masks)
    assert words in doubt


def outlined(mask, void):
    """Return a mask with a line of 2 px around each object."""
    padded = np.pad(mask, 2)
    around = [
        padded[2 + r : 2 + r + SIZE, 2 + c : 2 + c + SIZE] for r in (-2, 0, 2) for c in (-2, 0, 2)
    ]
    return np.where(np.any([one != mask for one in around], axis=0), void, mask)


@pytest.mark.parametrize("void", [255, 5, 220])
def test_a_value_along_all_borders_is_doubted_and_an_option_settles_it(tmp_path, void):
    masks = bytes_of(outlined(mask, void) for mask in PLAIN)
    (doubt,) = doubts(tmp_path, masks)
    assert doubt.startswith(
        f"value {void} is nowhere wider than a line and takes part in 100% of all borders"
    )
    assert dataset(tmp_path, background=("0", str(void))).doubts == ()
    assert dataset(tmp_path, categories={str(void): "edge"}).doubts == ()


def classes(seed):
    """Return a mask of classes: each in several pieces, the last one void."""
    values = [1, 2, 1, 3, 2, 3, 1, 2]
    mask = np.zeros((SIZE, SIZE), np.int64)
    for number, value in enumerate(values):
        top, left = 4 + 22 * (number // 2), 8 + 44 * (number % 2) + seed
        mask[top : top + 16, left : left + 20] = value
    mask[90:, :30] = mask[90:, 60:] = 11
    return mask


def test_classes_are_told_from_instances(tmp_path):
    (doubt,) = doubts(tmp_path, bytes_of(classes(seed) for seed in range(4)))
    assert doubt.startswith(
        "values look like classes, not instances: 2.5 pieces each, 100% in several"
    )
    assert "0 (" in doubt
    assert "11 may be void" in doubt


def test_classes_in_colours_are_told_from_instances(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (12, 3), np.uint8)
    colours[0] = 0
    (doubt,) = doubts(tmp_path, [coloured(classes(seed), colours) for seed in range(4)])
    assert doubt.startswith("values look like classes, not instances: 2.5 pieces each")
    assert doubt.endswith("--loader.encoding colour")
    assert dataset(tmp_path, encoding="colour").doubts == ()


def touching(seed):
    """Return a mask of many small instances that touch, some of a pixel or two."""
    random = np.random.default_rng(seed)
    mask = np.zeros((SIZE, SIZE), np.int64)
    for number in range(1, 41):
        top, left = random.integers(0, SIZE - 20, 2)
        high, wide = random.integers(1, 20, 2)
        mask[top : top + high, left : left + wide] = number
    return mask


@pytest.mark.parametrize(
    "masks",
    [
        bytes_of(PLAIN),
        bytes_of(255 * (mask > 0) for mask in PLAIN),
        [coloured(mask, COLOURS) for mask in PLAIN],
        bytes_of(touching(seed) for seed in range(4)),
        [touching(seed).astype(np.uint16) * 97 for seed in range(4)],
        [mask.astype(np.uint16) * 257 for mask in PLAIN],
        bytes_of(outlined(mask, 0) for mask in PLAIN),
        bytes_of(discs(s, values=[85, 170, 200, 255]) for s in range(3)),
    ],
)
def test_plain_masks_are_not_doubted(tmp_path, masks):
    assert doubts(tmp_path, masks) == ()
    assert dataset(tmp_path).notes[-1].startswith(f"looked at {len(masks)} masks: ")


def test_masks_that_are_drawn_in_alpha_alone_are_read_there(tmp_path):
    masks = []
    for mask in PLAIN:
        rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
        rgba[..., 3] = 255 * (mask > 0)
        masks.append(rgba)
    assert doubts(tmp_path, masks) == ()
    labels = dataset(tmp_path).samples[0].load_instances().labels
    assert np.array_equal(labels, PLAIN[0] > 0)
    assert "in alpha, where colours say nothing" in dataset(tmp_path).notes[1]
