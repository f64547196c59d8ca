"""A sample's picture and labels, read from disk and compared."""

from __future__ import annotations

from sv2r.errors import SampleError, Sv2rError
from sv2r.images.decode import Picture, read_picture
from sv2r.types import Dataset, Frame, Instances, ReadFrame, Sample


def read_frame(dataset: Dataset, index: int) -> Frame:
    """Return a sample that has been read; raises as `read_sample` does."""
    import torch

    sample, picture, instances = read_sample(dataset, index)
    picture.pixels.setflags(write=True)  # torch has no memory that is read-only
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)
    return ReadFrame.of(sample, pixels, instances, picture.normalised, picture.sha256)


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
                "render both at one size"
            )
    return sample, picture, instances


def name_sample(id_: str, error: Sv2rError | str) -> str:
    """Return an error's line with the sample's id in it."""
    return str(error) if id_ in str(error) else f"{id_}: {error}"
