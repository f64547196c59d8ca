"""Labels that were drawn on a picture as its EXIF orientation turns it are found by evidence."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from sv2r.errors import SampleError
from sv2r.images.orientation import turned
from sv2r.loaders.folder.loader import FolderOptions, load
from sv2r.plugin.options import validate_options
from sv2r.worker.frames import read_sample


def scene(size):
    """Return a picture of two squares, and their mask."""
    mask = np.zeros(size, np.uint8)
    mask[6:26, 8:30] = 1
    mask[34:44, 12:40] = 2
    colours = np.array([(60, 70, 80), (200, 40, 40), (40, 60, 210)], np.uint8)
    return colours[mask], mask


def save(root, orientation, size, *, upright):
    """Write a picture that is stored turned, with labels as it is shown, or as it is stored."""
    shown, mask = scene(size)
    # Turning back is turning by the inverse orientation.
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored, flat = turned(shown, inverse), turned(mask, inverse)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    picture = Image.fromarray(np.ascontiguousarray(stored))
    picture.save(root / "images/a.jpg", quality=95, exif=exif)
    Image.fromarray(np.ascontiguousarray(mask if upright else flat)).save(root / "masks/a.png")
    return load(validate_options(FolderOptions, {}, where="--loader"), root)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_pillow_does(orientation):
    array = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = Image.fromarray(array)
    exif = image.getexif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    image.save(data, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(data)))
    assert np.array_equal(turned(array, orientation), expected)


@pytest.mark.parametrize(
    ("orientation", "size"), [(3, (48, 64)), (2, (48, 64)), (6, (64, 64)), (8, (64, 64))]
)
def test_labels_that_were_drawn_upright_fail_and_exif_is_named(tmp_path, orientation, size):
    data = save(tmp_path, orientation, size, upright=True)
    with pytest.raises(SampleError, match=f"its EXIF orientation {orientation} turns it"):
        read_sample(data, 0)


@pytest.mark.parametrize("orientation", [3, 4, 6, 7])
def test_labels_that_were_drawn_as_stored_pass(tmp_path, orientation):
    data = save(tmp_path, orientation, (48, 64), upright=False)
    assert read_sample(data, 0)[1].orientation == orientation


def test_another_size_by_turning_names_exif(tmp_path):
    data = save(tmp_path, 6, (48, 64), upright=True)
    with pytest.raises(SampleError) as told:
        read_sample(data, 0)
    assert str(told.value) == (
        "images/a.jpg: the picture is 48×64, its labels 64×48; the labels were drawn on it as its "
        "EXIF orientation 6 turns it, and sv2r reads it as stored: turn the pixels "
        "(mogrify -auto-orient) or the labels"
    )
