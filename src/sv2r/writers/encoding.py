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
from sv2r.types import SOURCE_VARIANT, Dataset, Frame, Instances, Published, Record, Sample
from sv2r.writers.splits import SplitOptions, drawn_split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

OutputFormat = Literal["same", "png", "jpg", "webp", "tif", "bmp"]

_OTHER = "choose --writer coco"

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


def visible_shares(instances: Instances) -> dict[int, float]:
    """Return, of instances that others cover in part, what a label map holds of each: its share."""
    if not instances.overlaps:
        return {}
    areas, hidden = instances.areas(), instances.overlaps
    return {id_: round(1 - len(hidden[id_]) / areas[id_], 4) for id_ in hidden if len(hidden[id_])}


def mask_values(instances: Instances, most: int, held: str) -> dict[int, int]:
    """Return each instance's value in a mask: its id where all are at most most, else 1 to n.

    Raises:
        SampleError: there are more than that. held: what holds so many.
    """
    if all(id_ <= most for id_ in instances.table):
        return {id_: id_ for id_ in instances.table}
    if len(instances.table) > most:
        count = len(instances.table)
        raise SampleError(f"{held} holds {most:,} instances of a picture, not {count:,}; {_OTHER}")
    return {id_: value for value, id_ in enumerate(sorted(instances.table), 1)}


def renumbered(instances: Instances, values: Mapping[int, int]) -> NDArray[np.int32]:
    """Return the (H, W) label map with a value for each id; background stays 0."""
    import numpy as np

    if all(id_ == value for id_, value in values.items()):
        return instances.labels
    ids = np.array([0, *sorted(values)])
    targets = np.array([0, *(values[id_] for id_ in sorted(values))], np.int32)
    return targets[np.searchsorted(ids, instances.labels)]


def instance_rows(
    instances: Instances, values: Mapping[int, int], crowds: frozenset[int] = frozenset()
) -> list[dict[str, Any]]:
    """Return what there is to say of each value of a mask, as JSON values.

    hidden: pixels of the instance that others cover, which a mask of ids cannot show.
    crowds: the instances that are to be marked so, in addition to those that are.
    """
    return [
        {
            "value": values[i.id],
            "id": i.source_id or i.id,
            "category": i.category,
            "crowd": i.crowd or i.id in crowds,
            "hidden": len(instances.overlaps.get(i.id, ())),
            **({"extra": dict(i.extra)} if i.extra else {}),
        }
        for i in instances.table.values()
    ]


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
