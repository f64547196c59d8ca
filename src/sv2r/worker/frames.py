"""A sample's picture and labels, read from disk and compared."""

from __future__ import annotations

from dataclasses import replace

from sv2r.errors import SampleError, Sv2rError
from sv2r.images.decode import Picture, read_picture
from sv2r.plugin.guard import one_line
from sv2r.types import Dataset, Frame, Instances, ReadFrame, Record, Sample

# Labels are taken as drawn upright where they fit the turned picture so much better.
UPRIGHT = 1.5


def read_frame(dataset: Dataset, index: int) -> Frame:
    """Return a sample that has been read; raises as `read_sample` does."""
    sample, picture, instances = read_sample(dataset, index)
    return ReadFrame.of(sample, picture.pixels, instances, picture.normalised, picture.sha256)


def read_sample(dataset: Dataset, index: int) -> tuple[Sample, Picture, Instances]:
    """Return a sample, its picture and its labels, both read and compared.

    Raises:
        SampleError: one of them cannot be read, or they are of different size.
    """
    sample = dataset.samples[index]
    picture = read_picture(sample.image, sample.id)
    instances = sample.load_instances()
    height, width = picture.pixels.shape[:2]
    for what, size in (("labels", instances.size), ("label index", sample.size)):
        if size and size != (height, width):
            raise SampleError(
                f"{sample.id}: the picture is {width}×{height}, its {what} {size[1]}×{size[0]}; "
                f"{_fix_of_size(picture, size)}"
            )
    if picture.orientation != 1:
        _refuse_upright(sample, picture, instances)
    return sample, picture, instances


def _fix_of_size(picture: Picture, size: tuple[int, int]) -> str:
    height, width = picture.pixels.shape[:2]
    if picture.orientation < 5 or size != (width, height):
        return "render both at one size"
    return f"the labels were drawn on it as {_turning(picture)}"


def _turning(picture: Picture) -> str:
    what = f"its EXIF orientation {picture.orientation} turns it, and sv2r reads it as stored"
    return f"{what}: turn the pixels (mogrify -auto-orient) or the labels"


def _refuse_upright(sample: Sample, picture: Picture, instances: Instances) -> None:
    """Raise SampleError where labels fit the picture as a viewer turns it, and not as stored."""
    from sv2r.images.orientation import upright_fit

    fit = upright_fit(picture.pixels, instances.labels, picture.orientation)
    if fit > UPRIGHT:
        told = f"its borders of labels have {fit:.1f} times the contrast there as"
        raise SampleError(f"{sample.id}: {told} {_turning(picture)}")


def stopped_by(error: BaseException, record: Record) -> Record:
    """Return the record of a picture that an error stopped."""
    told = error if isinstance(error, Sv2rError) else one_line(error)
    return replace(record, status="failed", error=name_sample(record.sample, told))


def ids_by_category(instances: Instances) -> dict[str, list[int]]:
    """Return the ids of a picture's instances, as `Record.instances` has them."""
    ids: dict[str, list[int]] = {}
    for id_, instance in instances.table.items():
        ids.setdefault(instance.category, []).append(id_)
    return ids


def name_sample(id_: str, error: Sv2rError | str) -> str:
    """Return an error's line with the sample's id in it."""
    return str(error) if id_ in str(error) else f"{id_}: {error}"
