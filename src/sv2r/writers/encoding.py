"""How all writers encode a picture and put it in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sv2r.errors import SampleError
from sv2r.images.encode import JPEG_QUALITY, encode_picture
from sv2r.images.png import FILTER, LEVEL, RowFilter
from sv2r.plugin.options import Options
from sv2r.storage.files import copy_atomically, write_atomically
from sv2r.storage.others import find_others
from sv2r.storage.paths import shard_of
from sv2r.types import SOURCE_VARIANT, Dataset, Frame, Published, Record, Sample
from sv2r.writers.splits import SplitOptions, drawn_split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

OutputFormat = Literal["same", "png", "jpg", "webp", "tif", "bmp"]

HALVES = "backslashreplace"
"""How half a character in JSON is encoded, as JSON itself has it: \\ud800."""

# How the step begins that `read_picture` notes of a picture with an orientation.
TURNED = "EXIF orientation"

# Suffixes that already are a format.
_ALIKE: Mapping[str, tuple[str, ...]] = {"jpg": (".jpg", ".jpeg"), "tif": (".tif", ".tiff")}


class EncodingOptions(Options):
    """Options that all writers share."""

    jpeg_quality: int = Field(
        JPEG_QUALITY,
        ge=1,
        le=100,
        description="JPEG quality; the colour is always kept at full size (4:4:4).",
    )
    png_level: int = Field(
        LEVEL,
        ge=0,
        le=3,
        description="PNG compression, isal's: 0 is fastest; 1 to 3 differ little in size.",
    )
    png_filter: RowFilter = Field(
        FILTER, description="PNG row filter; adaptive tries all on each row: slowest, smallest."
    )


class ExportOptions(EncodingOptions, SplitOptions):
    """Options that exporting writers share."""

    format: OutputFormat = Field(
        "same", description="The pictures' format; same keeps the input's."
    )


class MarkingOptions(ExportOptions):
    """Options of exports that can mark an instance as a crowd."""

    doubtful: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Mark instances whose survival is below this as crowds, which training and "
        "evaluation leave aside. 0 marks none. Needs the check survival.",
    )


def marks(variant: int) -> dict[str, Any]:
    """Return how a list tells which variant of its source a picture is."""
    return {"variant": 0, "synthetic": True} if variant == SOURCE_VARIANT else {"variant": variant}


def done_samples(dataset: Dataset, records: Iterable[Record]) -> Iterator[tuple[Sample, Record]]:
    """Yield the records of pictures that are done, each behind its sample."""
    places = {id_: index for index, id_ in enumerate(dataset.ids)}
    for record in records:
        if record.status == "done" and record.sample in places:
            yield dataset.samples[places[record.sample]], record


def told_of(dataset: Dataset) -> dict[str, Any]:
    """Return what a dataset says of itself and of its categories, as JSON values."""
    names = [*dict.fromkeys([*dataset.categories, *dataset.details])]
    ids, details = dataset.category_ids, dataset.details
    own = [{**({"id": ids[n]} if n in ids else {}), "name": n, **details.get(n, {})} for n in names]
    return {**about_itself(dataset), "categories": own}


def doubtful_ids(record: Record, below: float) -> frozenset[int]:
    """Return the instances whose survival, as the record has it, is below a threshold."""
    instances = record.scores.get("survival", {}).get("instances", {})
    return frozenset(
        int(id_) for id_, scores in instances.items() if scores.get("survival", 1.0) < below
    )


# How lists of other formats name pictures and annotations, which an export numbers anew.
_NUMBERS = frozenset(
    {"image_id", "image_ids", "img_id", "annotation_id", "annotation_ids", "ann_id", "ann_ids"}
)


def about_itself(dataset: Dataset) -> dict[str, Any]:
    """Return what a dataset says of itself that holds in an export as well.

    Not what names pictures or annotations by their numbers, which are others there.
    """
    return {key: value for key, value in dataset.extra.items() if not _has_numbers(value)}


def _has_numbers(value: Any) -> bool:
    """Return whether a list, or a mapping in it, names pictures or annotations by number."""
    if isinstance(value, Mapping):
        return not _NUMBERS.isdisjoint(value) or any(map(_has_numbers, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_numbers, value))


def left_out(dataset: Dataset, held: str, *, extra: bool = True) -> Iterator[str]:
    """Yield what an export leaves behind, counted: it holds pictures and instances alone.

    held: the file that has all that the dataset says of these. extra: whether it holds what the
    dataset says of itself, see `about_itself`.
    """
    kept = about_itself(dataset) if extra else {}
    if lost := sorted(dataset.extra.keys() - kept):
        counts = (f"{key}{_counted(dataset.extra[key])}" for key in lost)
        why = ", which name pictures or annotations by number" if extra else ""
        yield f"{held} cannot hold {', '.join(counts)}{why}; --writer mirror carries them"
    others = find_others(dataset)
    channels = sorted(dataset.samples[0].channels) if len(dataset.ids) else []
    if others.files:
        count, first = len(others.files), others.files[0]
        files = f"{count:,} file{'' if count == 1 else 's'} that the loader does not know"
        yield f"{held} cannot hold {files}, such as {first}; --writer mirror carries them"
    if channels:
        yield f"{held} cannot hold {', '.join(channels)}; --writer mirror carries it"


def _counted(value: Any) -> str:
    return f" ({len(value):,})" if isinstance(value, (list, tuple, Mapping)) else ""


def in_format(path: PurePosixPath, wanted: OutputFormat) -> PurePosixPath:
    """Return the path with the suffix of a format, unchanged where it has one already."""
    if wanted == "same" or path.suffix.lower() in _ALIKE.get(wanted, (f".{wanted}",)):
        return path
    return path.with_suffix(f".{wanted}")


def picture_path(sample: Sample) -> str:
    """Return the sample's id with the suffix of its picture."""
    suffix = sample.image.suffix
    return sample.id if sample.id.lower().endswith(suffix.lower()) else f"{sample.id}{suffix}"


def publish_picture(
    output: Path,
    target: str,
    image: Tensor | None,
    frame: Frame,
    options: EncodingOptions,
    *,
    sync_folder: bool = False,
) -> Published:
    """Write a picture under the output folder, in the format of target's suffix.

    image: (3, H, W) uint8; None: the frame's own, whose file is copied where it is in that format.
    sync_folder: see `replacing`; without it the journal syncs the folder, before it says that the
        picture is there.

    Raises:
        SampleError: the format cannot hold it. StorageError: the output takes no more bytes.
    """
    if image is None and keeps_file(frame, target):
        return Published(target, _copied(frame, output / target, sync_folder=sync_folder))
    data = encode_picture(
        frame.array if image is None else _interleaved(image),
        PurePosixPath(target).suffix,
        jpeg_quality=options.jpeg_quality,
        png_level=options.png_level,
        png_filter=options.png_filter,
    )
    return Published(target, write_atomically(output / target, data, sync_folder=sync_folder))


def keeps_file(frame: Frame, target: str) -> bool:
    """Return whether the file that a frame was read from can lie at a target as it is.

    Not one that viewers turn by its EXIF orientation: labels are drawn on the pixels as stored.
    """
    if any(step.startswith(TURNED) for step in frame.normalised):
        return False
    own, wanted = frame.sample.image.suffix.lower(), PurePosixPath(target).suffix.lower()
    return own == wanted or any({own, wanted} <= {*alike} for alike in _ALIKE.values())


def _copied(frame: Frame, target: Path, *, sync_folder: bool) -> str:
    """Copy the file that a frame was read from and return its SHA-256."""
    digest = copy_atomically(frame.sample.image, target, sync_folder=sync_folder)
    if digest != frame.sha256:
        raise SampleError(f"{frame.sample.id}: changed while it was read; run the command again")
    return digest


def _interleaved(image: Tensor) -> NDArray[np.uint8]:
    """Return a (3, H, W) picture as contiguous (H, W, 3)."""
    import numpy as np

    pixels: NDArray[np.uint8] = image.cpu().permute(1, 2, 0).numpy()
    if pixels.flags.c_contiguous:
        return pixels
    # A third of the time of copying the permutation.
    return np.stack((pixels[..., 0], pixels[..., 1], pixels[..., 2]), axis=-1)


def export_path(sample: Sample, variant: int, options: ExportOptions) -> str:
    """Return images/ID in a format, with _v1, _v2 ... before the suffix of further variants.

    Where splits are drawn it is images/SPLIT/ID.
    """
    split = drawn_split(sample, options) if options.split else ""
    return str(PurePosixPath("images") / bare_path(sample, variant, options, split=split))


def bare_path(
    sample: Sample, variant: int, options: ExportOptions, *, split: str = "", home: str = "images"
) -> PurePosixPath:
    """Return SPLIT/ID in a format, with _v1, _v2 ... before the suffix of further variants.

    An id that begins with home, with the split or with a shard loses that, so that an export can
    be exported again.
    """
    path = PurePosixPath(picture_path(sample))
    shard = shard_of(str(path))
    path = path.relative_to(shard) if shard else path
    if len(path.parts) > 1 and path.parts[0] == home:
        path = path.relative_to(home)
    if split and len(path.parts) > 1 and path.parts[0] == split:
        path = path.relative_to(split)
    if variant:
        mark = "synthetic" if variant == SOURCE_VARIANT else f"v{variant}"
        path = path.with_name(f"{path.stem}_{mark}{path.suffix}")
    return split / in_format(path, options.format)
