"""COCO: one JSON file of pictures, categories and masks, read once and at any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.channels import channel_pattern, require_channels
from sv2r.loaders.coco.choose import CocoFiles, choose, listed, which
from sv2r.loaders.coco.find import (
    NoPictures,
    describe,
    expand,
    find_candidates,
    find_images,
    rivals,
)
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Match

if TYPE_CHECKING:
    from sv2r.loaders.coco.index import CocoIndex, CocoTally
    from sv2r.loaders.coco.samples import Part

# Pictures of which one must have what a channel's pattern asks for.
_LOOKED_AT = 50


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class CocoOptions(Options):
    """Where the parts of a COCO dataset lie, as far as they are not found."""

    annotations: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(
        (),
        description="COCO file inside the input folder, or a pattern such as '*/coco.json'; may be "
        "given several times. Found by itself: one file, or the splits of one dataset.",
    )
    images: str = Field(
        "",
        description="Folder inside the input folder where the pictures' file names start. Found by "
        "itself: next to the COCO file, in images/, in <split>/ ...",
    )
    remap: Mapping[str, str] = Field(
        default_factory=dict,
        description="FROM=TO: file names that begin with FROM, an absolute folder or a URL, lie in "
        "the folder TO of the input (. for the input itself).",
    )
    charset: str = Field(
        "",
        description="What the COCO file is written in where not in UTF-8, such as gbk or cp1252; "
        "UTF-16 and UTF-32 are seen by themselves.",
    )
    depth: Annotated[str, AfterValidator(channel_pattern)] = Field(
        "",
        description="The renderer's depth next to each picture, such as '{stem}_depth.png' or "
        "'../depth/{stem}.exr'; fields: {stem}, {name}, {parent}.",
    )


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds a COCO instance dataset, by glances."""
    candidates = find_candidates(root)
    masked = [candidate for candidate in candidates if candidate.kind == "instances"]
    masked = masked or [candidate for candidate in candidates if candidate.kind == "panoptic"]
    bare = [candidate for candidate in candidates if candidate.kind == "no annotations"]
    if masked:
        more = f", and {len(masked) - 1} more COCO files" if len(masked) > 1 else ""
        return Match(0.95, f"{masked[0].name} {describe(masked[0])}{more}")
    if bare:
        return Match(0.5, f"{bare[0].name} {describe(bare[0])}")
    if candidates:
        return Match(0.0, f"{candidates[0].name} {describe(candidates[0])}", known=True)
    return Match(0.0, "no JSON file has images and annotations")


def build(options: CocoOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options=options)


def load(root: Path, options: CocoOptions) -> Dataset:
    """Return the dataset: samples are made, and their masks read, when they are asked for.

    Raises:
        ConfigError: there is no COCO file, or several that are no splits of one dataset; one cannot
            be read or has no masks; the pictures are nowhere.
    """
    from sv2r.loaders.coco.rename import renamed
    from sv2r.loaders.coco.samples import (
        Lazy,
        Pictures,
        category_ids,
        details_of,
        drop_links,
        drop_repeated,
        extra_of,
    )

    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder")
    notes: list[str] = []
    doubts: list[str] = []
    if options.annotations:
        named = expand(root, options.annotations)
        parts = [_open_part(root, name, options, notes, doubts) for name in named]
    else:
        parts = _open_splits(root, choose(root, find_candidates(root)), options, notes, doubts)
    problems = [problem for part in parts for problem in part.problems()]
    for number, part in enumerate(parts):
        parts[number], outside = drop_links(root, part)
        problems += outside
    if len(parts) > 1:
        whole, (parts, repeated) = parts, drop_repeated(parts)
        problems += repeated
        if repeated and not options.annotations:
            raise ConfigError(f"{repeated[0].id} is in several of {which([p.name for p in whole])}")
    numbers = category_ids(parts)
    if numbers is None:
        notes.append("category ids are ambiguous, so exports will number the categories anew")
    patterns = {"depth": options.depth}
    extra = extra_of(parts, notes)
    pictures = Pictures(root, parts, patterns)
    ids = Lazy(len(pictures), pictures.id, pictures.ids)
    require_channels(root, [root / id_ for id_ in ids[:_LOOKED_AT]], patterns)
    return Dataset(
        root=root,
        samples=Lazy(len(pictures), pictures.sample),
        ids=ids,
        categories=tuple(dict.fromkeys(c for p in parts for c in p.index.categories.values())),
        annotation_files=tuple(root / part.name for part in parts),
        problems=tuple(problems),
        category_ids=numbers or {},
        notes=tuple(notes),
        doubts=tuple(doubts),
        renamed=partial(renamed, parts),
        details=details_of(parts),
        extra=extra,
    )


def _open_splits(
    root: Path, chosen: CocoFiles, options: CocoOptions, notes: list[str], doubts: list[str]
) -> list[Part]:
    """Return the files that were found, without those whose pictures are nowhere.

    Raises:
        ConfigError: as `load`.
    """
    if chosen.others:
        notes.append(f"not read: {listed(chosen.others)}; --loader.annotations reads others")
    parts: list[Part] = []
    missing: list[NoPictures] = []
    for name in chosen.names:
        try:
            parts.append(_open_part(root, name, options, notes, doubts))
        except NoPictures as error:
            missing.append(error)
    if not parts:
        raise missing[0]
    notes.insert(0, f"annotations in {listed([part.name for part in parts])}")
    there = " ".join(f"--loader.annotations {part.name}" for part in parts)
    doubts += [f"left out: {error}, or leave that file out with {there}" for error in missing]
    return parts


def _open_part(
    root: Path, name: str, options: CocoOptions, notes: list[str], doubts: list[str]
) -> Part:
    """Return one COCO file with its index, and note what was decided about it."""
    from sv2r.loaders.coco.charset import charset_of
    from sv2r.loaders.coco.samples import whole_part

    charset = charset_of(root / name, options.charset)
    index = _open_index(root, name, options, charset, notes)
    _refuse_elsewhere(root, name, index)
    if not index.panoptic:
        _require_masks(index.tally, name)
    if options.images:
        folder = _images_folder(root, options.images)
    else:
        folder, looked, found = find_images(root, name, index.names)
        if other := next(rivals(root, name, index.names, folder), None):
            doubts.append(
                f"{name}: {index.names[0]} is in {other or '.'} too, another picture; taken from "
                f"{folder or '.'}, which --loader.images {folder or '.'} settles"
            )
        if folder != _relative(PurePosixPath(name).parent):
            notes.append(f"pictures of {name} in {folder or '.'} ({found} of {looked} looked for)")
    if not index.panoptic:
        notes.extend(f"{name}: {line}" for line in _remarks(index.tally))
    return whole_part(index, name, folder, root / name, charset)


def _open_index(
    root: Path, name: str, options: CocoOptions, charset: str, notes: list[str]
) -> CocoIndex:
    """Return a file's index, with names from elsewhere found again where all of them are."""
    from sv2r.loaders.coco.cache import open_index
    from sv2r.loaders.coco.moved import whereabouts

    index = open_index(root / name, name, options.remap, charset)
    if options.remap or options.images or not _is_nowhere(root, name, index):
        return index
    moved = whereabouts(root, name, index)
    notes += [f"{name}: file names that begin with {at} in {to}" for at, to in moved.items()]
    return open_index(root / name, name, moved, charset) if moved else index


def _is_nowhere(root: Path, name: str, index: CocoIndex) -> bool:
    """Return whether not one picture of a file can be found as it is named."""
    if not len(index.names):
        return bool(index.unusable)
    try:
        find_images(root, name, index.names)
    except NoPictures:
        return True
    return False


def _refuse_elsewhere(root: Path, name: str, index: CocoIndex) -> None:
    """Raise ConfigError where no picture can be used since all file names are absolute, or URLs."""
    from sv2r.loaders.coco.entries import is_elsewhere

    first = next((entry.given for entry in index.unusable if is_elsewhere(entry.given)), None)
    if first is None or len(index.names):
        return
    parts = first.replace("\\", "/").split("/")
    places = ("/".join(parts[k:]) for k in range(1, len(parts)))
    found = next((place for place in places if (root / place).is_file()), parts[-1])
    start = first.replace("\\", "/").removesuffix(f"/{found}") or "/"
    place = "." if (root / found).is_file() else "FOLDER"
    raise ConfigError(
        f"{name}: file names are absolute paths or URLs, such as {first}; say which folder of the "
        f"input that is with --loader.remap '{start}={place}'"
    )


def _images_folder(root: Path, images: str) -> str:
    if not PurePosixPath(images).parts:  # "." is the input folder itself
        return ""
    try:
        path = inside(root, images)
    except SampleError as error:
        raise ConfigError(f"--loader.images {error}") from error
    if not path.is_dir():
        raise ConfigError(f"--loader.images {images}: no such folder inside the input folder")
    return _relative(path.relative_to(root))


def _relative(folder: PurePath) -> str:
    """Return a relative folder as the beginning of an id: "" for "."."""
    return folder.as_posix() if folder.parts else ""


def _require_masks(tally: CocoTally, name: str) -> None:
    if not tally.annotations or tally.unmasked < tally.annotations:
        return
    captions = "caption" in tally.fields
    reason = "it has captions" if captions else "none of its annotations has a segmentation"
    raise ConfigError(f"{name}: {reason}; give a COCO file with instance masks")


def _remarks(tally: CocoTally) -> Iterator[str]:
    """Yield what a user should know of the annotations before GPU hours are spent."""
    if tally.unmasked:
        yield f"annotations without a segmentation: {tally.unmasked:,}; their pictures will fail"
    if tally.boxed:
        yield (
            f"segmentations of four numbers: {tally.boxed:,}; each is drawn as the box "
            "x, y, width, height, as pycocotools does"
        )
    if tally.retyped:
        yield (
            f"annotations whose image_id is a text where the picture's id is a number, or the "
            f"other way round: {tally.retyped:,}; taken as equal"
        )
    if tally.empty:
        yield (
            f"annotations with an empty segmentation: {tally.empty:,}; "
            "they are carried, but nothing of them can be drawn or checked"
        )


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[CocoOptions]]:
    """Return the COCO format."""
    return [
        LoaderSpec(
            name="coco",
            summary="COCO: polygons, RLE, crowds, panoptic PNGs; one or several JSON files.",
            options=CocoOptions,
            build=build,
            detect=detect,
        )
    ]
