import hashlib
import io
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from sv2r.errors import SampleError
from sv2r.images.decode import MAX_PIXELS, PICTURE_SUFFIXES, picture_size, read_picture

RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[1, 2, 3], [128, 64, 32], [250, 251, 252]]], np.uint8
)


def chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png(values, colour_type, bits=16, *, size=None, extra=b""):
    height, width = size or values.shape[:2]
    order = ">u2" if bits == 16 else "u1"
    rows = b"".join(b"\0" + row.astype(order).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


def saved(image, kind, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def tiff(values, **settings):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **settings)
    return file.getvalue()


def read(tmp_path, data, name="a.png"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_picture(path, name)


def error_of(tmp_path, data, name="a.png"):
    with pytest.raises(SampleError) as caught:
        read(tmp_path, data, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "settings"),
    [
        ("PNG", "a.png", {}),
        ("PNG", "a.PNG", {}),
        ("WEBP", "a.webp", {"lossless": True}),
        ("TIFF", "a.tif", {}),
        ("TIFF", "a.tiff", {"compression": "tiff_lzw"}),
        ("TIFF", "a.tiff", {"compression": "tiff_adobe_deflate"}),
        ("BMP", "a.bmp", {}),
    ],
)
def test_rgb_comes_back_as_it_is_stored(tmp_path, kind, name, settings):
    data = saved(Image.fromarray(RGB), kind, **settings)
    picture = read(tmp_path, data, name)
    assert picture.pixels.tolist() == RGB.tolist()
    assert picture.normalised == ()
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert picture_size(tmp_path / name, name) == (2, 3)


def test_a_jpeg_comes_back_as_pillow_decodes_it(tmp_path):
    data = saved(Image.fromarray(RGB), "JPEG")
    picture = read(tmp_path, data, "a.jpeg")
    assert np.array_equal(picture.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert picture.normalised == ()


def test_a_picture_cannot_be_changed(tmp_path):
    picture = read(tmp_path, saved(Image.fromarray(RGB), "PNG"))
    with pytest.raises(ValueError, match="read-only"):
        picture.pixels[0, 0] = 0
    with pytest.raises(FrozenInstanceError):
        picture.sha256 = ""


def test_the_suffixes_are_lower_case():
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"} == PICTURE_SUFFIXES


def test_alpha_is_dropped_and_the_colours_under_it_stay(tmp_path):
    rgba = np.concatenate([RGB, np.zeros((2, 3, 1), np.uint8)], -1)
    picture = read(tmp_path, saved(Image.fromarray(rgba), "PNG"))
    assert picture.pixels.tolist() == RGB.tolist()
    assert picture.normalised == ("alpha dropped",)


def test_grey_alpha_and_palette_alpha_are_dropped(tmp_path):
    grey = saved(Image.fromarray(np.array([[[7, 0]]], np.uint8), "LA"), "PNG")
    assert read(tmp_path, grey).pixels.tolist() == [[[7, 7, 7]]]
    assert read(tmp_path, grey).normalised == ("alpha dropped", "grey to RGB")
    palette = Image.fromarray(np.array([[1, 0]], np.uint8), "P")
    palette.putpalette([9, 8, 7, 60, 50, 40])
    picture = read(tmp_path, saved(palette, "PNG", transparency=b"\0\x80"))
    assert picture.pixels.tolist() == [[[60, 50, 40], [9, 8, 7]]]
    assert picture.normalised == ("alpha dropped", "palette to RGB")


def test_a_transparent_colour_is_a_colour_like_any(tmp_path):
    data = saved(Image.fromarray(RGB), "PNG", transparency=(255, 0, 0))
    assert read(tmp_path, data).pixels.tolist() == RGB.tolist()
    assert read(tmp_path, data).normalised == ("alpha dropped",)


def test_grey_palette_and_one_bit_become_rgb(tmp_path):
    grey = read(tmp_path, saved(Image.fromarray(np.array([[0, 200]], np.uint8)), "PNG"))
    assert grey.pixels.tolist() == [[[0, 0, 0], [200, 200, 200]]]
    assert grey.normalised == ("grey to RGB",)
    one_bit = read(tmp_path, saved(Image.fromarray(np.array([[False, True]])), "PNG"))
    assert one_bit.pixels.tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert one_bit.normalised == ("1-bit grey to RGB",)
    palette = Image.fromarray(np.array([[1, 0]], np.uint8), "P")
    palette.putpalette([9, 8, 7, 60, 50, 40])
    indexed = read(tmp_path, saved(palette, "PNG"))
    assert indexed.pixels.tolist() == [[[60, 50, 40], [9, 8, 7]]]
    assert indexed.normalised == ("palette to RGB",)


# 128 of 257 rounds to 0, 129 to 1: neither cut off nor clipped to white.
DEEP = np.array([[0, 128, 129, 256, 32767, 65535]], np.uint16)


@pytest.mark.parametrize(
    "data",
    [
        png(DEEP, 0),
        tiff(DEEP),
        tiff(DEEP, byteorder=">"),
        tiff(DEEP, compression="zlib"),
        tiff(65535 - DEEP, photometric="miniswhite"),
    ],
    ids=["png", "tiff", "big-endian", "zlib", "white is zero"],
)
def test_16_bit_grey_is_rounded(tmp_path, data):
    picture = read(tmp_path, data, "a.png" if data[:1] == b"\x89" else "a.tif")
    assert picture.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 127, 255]
    assert np.ptp(picture.pixels, axis=-1).max() == 0
    assert picture.normalised == ("16-bit to 8-bit", "grey to RGB")


def test_12_bit_tiff_spans_the_whole_range(tmp_path):
    # 0, 2048, 4095 and 0, twelve bits each.
    packed = bytes([0x00, 0x08, 0x00, 0xFF, 0xF0, 0x00])
    file = bytearray(tiff(np.zeros((1, 6), np.uint8), photometric="minisblack"))
    tags = {256: 4, 258: 12, 277: 1}
    directory = struct.unpack_from("<I", file, 4)[0]
    for entry in range(struct.unpack_from("<H", file, directory)[0]):
        at = directory + 2 + 12 * entry
        tag = struct.unpack_from("<H", file, at)[0]
        if tag in tags:
            struct.pack_into("<HHII", file, at, tag, 3, 1, tags[tag])
        if tag == 273:
            strip = struct.unpack_from("<I", file, at + 8)[0]
    file[strip : strip + 6] = packed
    picture = read(tmp_path, bytes(file), "a.tif")
    assert picture.pixels[..., 0].tolist() == [[0, 128, 255, 0]]
    assert picture.normalised == ("12-bit to 8-bit", "grey to RGB")


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", ["png", "tiff", "big-endian tiff"])
def test_16_bit_colour_keeps_its_high_bytes(tmp_path, kind, channels):
    values = np.stack([DEEP] * channels, -1)
    if kind == "png":
        data = png(values, {3: 2, 4: 6}[channels])
    else:
        data = tiff(values, photometric="rgb", byteorder=">" if "big" in kind else "<")
    picture = read(tmp_path, data, "a.png" if kind == "png" else "a.tif")
    assert picture.pixels[0, :, 0].tolist() == [0, 0, 0, 1, 127, 255]
    expected = ("16-bit to 8-bit by the high byte", "alpha dropped")
    assert picture.normalised == expected[: channels - 2]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (DEEP.astype(np.float32), "float"),
        (DEEP.astype(np.int32), "32-bit integer"),
        (DEEP.astype(np.int16), "signed 16-bit"),
    ],
)
def test_numbers_without_a_white_are_refused(tmp_path, values, words):
    assert error_of(tmp_path, tiff(values), "a.tif") == (
        f"a.tif: {words} pixels have no defined white; save it as 8-bit or unsigned 16-bit"
    )


def test_cmyk_without_a_profile_is_said_to_be_guessed(tmp_path):
    cmyk = Image.fromarray(np.full((8, 8, 4), (0, 255, 255, 0), np.uint8), "CMYK")
    picture = read(tmp_path, saved(cmyk, "TIFF"), "a.tif")
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
    assert picture.normalised == ("CMYK to RGB by Pillow's formula, without a profile",)


def wide_profile(name="Wide"):
    """Return a matrix profile of AdobeRGB's primaries with gamma 2.2, by ICC.1:2010."""

    def s15(*values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    text = name.encode() + b"\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    tags = {
        b"desc": desc,
        b"wtpt": b"XYZ \0\0\0\0" + s15(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ \0\0\0\0" + s15(0.60974, 0.31111, 0.01947),
        b"gXYZ": b"XYZ \0\0\0\0" + s15(0.20528, 0.62567, 0.06087),
        b"bXYZ": b"XYZ \0\0\0\0" + s15(0.14919, 0.06322, 0.74457),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv\x00\x00\x00\x00\x00\x00\x00\x01\x023"),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        padded = value + b"\0" * (-len(value) % 4)
        table += key + struct.pack(">II", start + len(body), len(value))
        body += padded
    size = struct.pack(">I", 128 + len(table) + len(body))
    header = size + b"\0\0\0\0\x02\x10\0\0mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    return (header + s15(0.9642, 1.0, 0.8249)).ljust(128, b"\0") + table + body


def test_an_embedded_profile_is_applied(tmp_path):
    grey_and_green = np.array([[[128, 128, 128], [60, 200, 60]]], np.uint8)
    data = saved(Image.fromarray(grey_and_green), "PNG", icc_profile=wide_profile())
    picture = read(tmp_path, data)
    assert picture.normalised == ("embedded ICC profile 'Wide' to sRGB",)
    grey, green = picture.pixels[0].astype(int)
    assert abs(grey - 128).max() <= 1
    # AdobeRGB's green lies outside of sRGB: its red is clipped to nothing.
    assert green[0] == 0
    assert green[1] >= 200


def test_an_srgb_profile_leaves_the_bytes_alone(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read(tmp_path, saved(Image.fromarray(RGB), "PNG", icc_profile=profile))
    assert picture.pixels.tolist() == RGB.tolist()
    assert picture.normalised == ()


def test_a_profile_for_other_pixels_or_a_broken_one_is_not_applied(tmp_path):
    cmyk = saved(Image.new("CMYK", (2, 1)), "TIFF", icc_profile=wide_profile())
    steps = read(tmp_path, cmyk, "a.tif").normalised
    assert steps == ("CMYK to RGB by Pillow's formula, without a profile",)
    broken = saved(Image.fromarray(RGB), "PNG", icc_profile=b"no profile at all")
    picture = read(tmp_path, broken)
    assert picture.pixels.tolist() == RGB.tolist()
    assert picture.normalised == ("embedded ICC profile unreadable, not applied",)
    # Readable, but the curves that a transform needs are gone.
    gutted = wide_profile().replace(b"TRC", b"XXX")
    picture = read(tmp_path, saved(Image.fromarray(RGB), "PNG", icc_profile=gutted))
    assert picture.pixels.tolist() == RGB.tolist()
    assert picture.normalised == ("embedded ICC profile 'Wide' is damaged, not applied",)


def test_an_odd_png_gamma_is_told(tmp_path):
    linear, plain = (chunk(b"gAMA", struct.pack(">I", g)) for g in (100000, 45455))
    values = np.zeros((1, 1, 3), np.uint8)
    assert read(tmp_path, png(values, 2, 8, extra=linear)).normalised == (
        "PNG gamma 1 not applied",
    )
    assert read(tmp_path, png(values, 2, 8, extra=plain)).normalised == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "name", "settings"),
    [
        ("TIFF", "a.tif", {}),
        ("TIFF", "a.tif", {"compression": "tiff_lzw"}),
        ("PNG", "a.png", {}),
        ("WEBP", "a.webp", {"lossless": True}),
    ],
)
def test_orientation_is_recorded_and_not_applied(tmp_path, kind, name, settings, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    extra = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif}
    picture = read(tmp_path, saved(Image.fromarray(RGB), kind, **settings, **extra), name)
    assert picture.pixels.tolist() == RGB.tolist()
    assert picture_size(tmp_path / name, name) == (2, 3)
    expected = (f"EXIF orientation {orientation} not applied",) if orientation > 1 else ()
    assert picture.normalised == expected


def test_the_content_tells_the_format(tmp_path):
    picture = read(tmp_path, saved(Image.fromarray(RGB), "BMP"), "a.png")
    assert picture.pixels.tolist() == RGB.tolist()
    assert picture.normalised == ("BMP data under a .png name",)


@pytest.mark.parametrize(
    ("kind", "name"), [("TIFF", "a.tif"), ("WEBP", "a.webp"), ("PNG", "a.png")]
)
def test_a_file_of_several_pictures_is_refused(tmp_path, kind, name):
    other = Image.fromarray(255 - RGB)
    data = saved(Image.fromarray(RGB), kind, save_all=True, append_images=[other])
    what = "a file" if kind == "TIFF" else "an animation"
    assert error_of(tmp_path, data, name) == (
        f"{name}: {what} of 2 pictures; save each in a file of its own"
    )


@pytest.mark.parametrize("flag", [0, 1, 4])
def test_a_tiff_with_overviews_is_one_picture(tmp_path, flag):
    small = Image.fromarray(RGB).resize((1, 1))
    small.encoderinfo = {"tiffinfo": {254: flag}}
    data = saved(Image.fromarray(RGB), "TIFF", save_all=True, append_images=[small, small])
    (tmp_path / "a.tif").write_bytes(data)
    assert read_picture(tmp_path / "a.tif", "a.tif").pixels.tolist() == RGB.tolist()


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x1cftypavif", "an AVIF picture"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"GIF89a", "a GIF"),
        (b"\x93NUMPY", "a numpy array"),
    ],
)
def test_pictures_that_are_not_read_are_called_what_they_are(tmp_path, head, words):
    assert error_of(tmp_path, head + bytes(40), "a.png") == (
        f"a.png: {words}, which is not read; save it as PNG or TIFF"
    )


def test_odd_files_leave_nothing_on_stderr(tmp_path, capfd):
    odd = {33550: 1.0, 65000: "x" * 300, 34665: 99999999}
    data = saved(Image.fromarray(RGB), "TIFF", compression="tiff_lzw", tiffinfo=odd)
    (tmp_path / "a.tif").write_bytes(data)
    (tmp_path / "b.tif").write_bytes(data.replace(b"x" * 100, b"\0" * 100)[:-3])
    for name in ("a.tif", "b.tif"):
        with suppress(SampleError):
            read_picture(tmp_path / name, name)
    assert capfd.readouterr().err == ""


def test_of_a_phones_jpeg_the_first_picture_is_taken(tmp_path):
    other = Image.new("RGB", (16, 16), "blue")
    first = Image.new("RGB", (16, 16), "red")
    picture = read(tmp_path, saved(first, "MPO", save_all=True, append_images=[other]), "a.jpg")
    assert picture.normalised == ("first of several pictures in the file",)
    assert picture.pixels[0, 0].tolist() == [254, 0, 0]


def test_what_is_no_file_is_said_in_one_line(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    again = "render it again, then run the same command"
    for name, message in {
        "folder.png": "is a folder; put the file itself there",
        "empty.png": f"is empty; {again}",
        "none.png": "is missing; put it there, then run the same command",
        "dangling.png": "is missing; put it there, then run the same command",
        "pipe.png": "is not a regular file; put the file itself there",
    }.items():
        for reader in (read_picture, picture_size):
            with pytest.raises(SampleError) as caught:
                reader(tmp_path / name, f"train/{name}")
            assert str(caught.value) == f"train/{name}: {message}"


def test_a_name_that_the_system_refuses_is_said_in_one_line(tmp_path):
    with pytest.raises(SampleError, match=r"cannot be read \(file name too long\)"):
        read_picture(tmp_path / ("x" * 300), "long")
    with pytest.raises(SampleError, match="cannot be read"):
        read_picture(Path("a\0b.png"), "nul")


def test_a_truncated_picture_names_the_fix(tmp_path):
    data = saved(NOISE, "PNG")[:100]
    assert error_of(tmp_path, data) == (
        "a.png: truncated after 100 bytes; render it again, then run the same command"
    )


def test_what_is_no_picture_is_refused(tmp_path):
    for data in (b"hello, world, this is text", b"%!PS-Adobe-3.0 EPSF-3.0"):
        message = "a.png: not a picture; give PNG, JPEG, WebP, TIFF or BMP"
        assert error_of(tmp_path, data) == message


def test_a_12_bit_jpeg_is_refused(tmp_path):
    data = bytearray(saved(Image.fromarray(RGB), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert error_of(tmp_path, bytes(data), "a.jpg") == (
        "a.jpg: a JPEG that cannot be read (cannot handle 12-bit layers); save it as 8-bit PNG"
    )


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    data = png(np.zeros((1, 1, 3), np.uint8), 2, 8, size=(60_000, 60_000))
    message = f"a.png: 60,000 x 60,000 pixels are more than {MAX_PIXELS:,}; cut it into tiles"
    assert error_of(tmp_path, data) == message
    with pytest.raises(SampleError, match="cut it into tiles"):
        picture_size(tmp_path / "a.png", "a.png")


def test_truncated_pictures_never_pass_because_someone_told_pillow_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(Image.fromarray(RGB), "PNG")
    assert "a plugin set Pillow's LOAD_TRUNCATED_IMAGES" in error_of(tmp_path, data)


# Pillow tells of broken TIFF tags by a warning besides.
quiet = pytest.mark.filterwarnings("ignore::UserWarning")

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8))
FILES = {
    "a.png": saved(NOISE, "PNG"),
    "palette.png": saved(NOISE.quantize(16), "PNG"),
    "a.jpg": saved(NOISE, "JPEG"),
    "progressive.jpg": saved(NOISE, "JPEG", progressive=True),
    "lossy.webp": saved(NOISE, "WEBP"),
    "lossless.webp": saved(NOISE, "WEBP", lossless=True),
    "raw.tif": saved(NOISE, "TIFF"),
    "deflate.tif": saved(NOISE, "TIFF", compression="tiff_adobe_deflate"),
    "a.bmp": saved(NOISE, "BMP"),
}


def pixels_or_lines(path):
    try:
        return read_picture(path, path.name).pixels, []
    except SampleError as error:
        return None, str(error).split("\n")


@quiet
@pytest.mark.parametrize("name", FILES)
def test_of_a_cut_file_either_all_pixels_come_back_or_one_line(tmp_path, name):
    data = FILES[name]
    whole = read(tmp_path, data, name).pixels
    for length in range(1, len(data)):
        (tmp_path / name).write_bytes(data[:length])
        pixels, lines = pixels_or_lines(tmp_path / name)
        assert len(lines) == 1 if pixels is None else np.array_equal(pixels, whole)


@quiet
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(sorted(FILES)),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=8),
)
def test_flipped_bits_never_raise_anything_else(tmp_path, name, flips):
    data = bytearray(FILES[name])
    for position, mask in flips:
        data[position % len(data)] ^= mask
    (tmp_path / name).write_bytes(data)
    pixels, lines = pixels_or_lines(tmp_path / name)
    assert len(lines) == 1 if pixels is None else pixels.dtype == np.uint8
    with suppress(SampleError):
        picture_size(tmp_path / name, name)
