"""Pictures and masks with the same stem, in nested folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, overload

from pydantic import AfterValidator, BeforeValidator, Field

from sv2r.errors import ConfigError
from sv2r.loaders.about import DATASET_FILE, read_about
from sv2r.loaders.channels import channel_pattern, find_channels, require_channels
from sv2r.loaders.folder.keys import named, read_key
from sv2r.loaders.folder.table import (
    NO_LINE,
    TABLE,
    Rows,
    TableLine,
    categories_of,
    read_table,
    renamed_table,
    with_rows,
)
from sv2r.loaders.tree import Tree, read_tree
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, as_several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instances, Match, Sample

if TYPE_CHECKING:
    from sv2r.loaders.folder.encodings import Reading
    from sv2r.loaders.folder.layout import Asked
    from sv2r.loaders.folder.pairs import Pair, Pairs


def _inner(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must lie inside the input folder; give it relative to it")
    return folder


def _file_pattern(pattern: str) -> str:
    plain = pattern.replace("{stem}", "", 1)
    if "/" in plain or "\\" in plain:
        raise ValueError("must be a file name; folders are --loader.images and --loader.masks")
    if "{" in plain or "}" in plain:
        raise ValueError("can hold {stem} once and no other field")
    return pattern


def _text_keys(value: Any) -> Any:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value


def _keys(values: tuple[int | str, ...]) -> tuple[int | str, ...]:
    for value in values:
        read_key(str(value))
    return values


def _named_keys(values: Mapping[str, str]) -> Mapping[str, str]:
    _keys(tuple(values))
    return values


class FolderOptions(Options):
    """Options of the folder loader."""

    images: Annotated[str, AfterValidator(_inner)] = Field(
        "", description="Folder of the pictures inside the input; found by its name by default."
    )
    masks: str = Field(
        "",
        description="Folder of the masks, inside the input or anywhere; found by its name by "
        "default. The tree in it is that of the pictures.",
    )
    image_pattern: Annotated[str, AfterValidator(_file_pattern)] = Field(
        "", description="A picture's file name, such as 'rgb_{stem}.png'; any by default."
    )
    mask_pattern: Annotated[str, AfterValidator(_file_pattern)] = Field(
        "",
        description="Its mask's file name, such as '{stem}_mask.png'; the usual ones are tried "
        "by default.",
    )
    encoding: Literal["auto", "ids", "palette", "colour", "binary", "per-instance", "npy"] = Field(
        "auto",
        description="What a mask holds: instance ids, palette indices or colours, one each; black "
        "and white; one file per instance (<image>_<category>_<n>.png); an array of ids. "
        "auto looks at a few masks and says what it took.",
    )
    background: Annotated[
        tuple[int | str, ...], BeforeValidator(as_several), AfterValidator(_keys)
    ] = Field(
        (),
        description="Values that are no instance: an id (255), a range (0-999) or a colour "
        "(255,255,255; 7,*,*). 0 or black by default.",
    )
    category: str = Field(
        "object", min_length=1, description="Category of instances that nothing else names."
    )
    categories: Annotated[
        Mapping[str, str], BeforeValidator(_text_keys), AfterValidator(_named_keys)
    ] = Field(
        default_factory=dict,
        description="Categories by value: 7=car, 26000-26999=car, 255,0,0=car, 14,*,*=car.",
    )
    only_named: bool = Field(
        False, description="Take as instances only the values that --loader.categories names."
    )
    names: Annotated[str, AfterValidator(_inner)] = Field(
        "",
        description="JSON file inside the input that names a mask's values, such as "
        "'labels/semantic_segmentation_labels_{stem}.json'; Omniverse's are found by default.",
    )
    depth: Annotated[str, AfterValidator(channel_pattern)] = Field(
        "",
        description="The renderer's depth, seen from the picture's folder: '../depth/{stem}.exr', "
        "with the {stem} of --loader.image_pattern.",
    )


@dataclass(frozen=True)
class FolderSamples(Sequence[Sample]):
    """The samples of a folder, made when they are asked for."""

    root: Path
    pairs: Sequence[Pair]
    reading: Reading
    channels: Mapping[str, str]
    table: Mapping[str, TableLine] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return replace(self, pairs=self.pairs[index])
        pair = self.pairs[index]
        image = self.root / pair.image
        files = [pair.place.masks / mask.name for mask in pair.masks]
        if pair.names:
            files.append(self.root / pair.names)
        line = self.table.get(pair.image, NO_LINE)
        return Sample(
            id=pair.image,
            image=image,
            load_instances=partial(load_instances, self.root, pair, self.reading, line.rows),
            annotation_files=tuple(files),
            channels=find_channels(self.root, image, self.channels, pair.stem),
            attributes={"folder": pair.folder} if pair.folder else {},
            extra=line.extra,
        )


def load_instances(
    root: Path, pair: Pair, reading: Reading, rows: Rows = NO_LINE.rows
) -> Instances:
    """Return the instances of one picture.

    rows: what the folder writer's own table says of them.

    Raises:
        SampleError: a mask or the JSON that names its values cannot be read as it was asked for.
    """
    from sv2r.images.decode import picture_size
    from sv2r.loaders.folder.encodings import Stencil, read_mask, read_names, read_stencils

    place = pair.place
    if place.naming.mask is None:
        stencils = [
            Stencil(
                place.masks / mask.name,
                place.mask_name(mask.name),
                mask.category,
                f"{mask.category}_{mask.number}".lstrip("_"),
            )
            for mask in pair.masks
        ]
        size = picture_size(root / pair.image, pair.image)
        return read_stencils(stencils, size, reading.category)
    mask = pair.masks[0].name
    names = read_names(inside(root, pair.names), pair.names) if pair.names else None
    instances = read_mask(reading, place.masks / mask, place.mask_name(mask), names)
    return with_rows(instances, rows) if rows else instances


def load(options: FolderOptions, root: Path) -> Dataset:
    """Return the dataset in a folder; of the files only a few masks and the JSONs are opened.

    Raises:
        ConfigError: there is no folder, no picture with a mask, or no telling how masks are meant.
    """
    from sv2r.loaders.folder.encodings import Reading
    from sv2r.loaders.folder.guess import category_names, choose_encoding, layout_notes

    tree = read_tree(root)
    pairs = _pairs(options, tree)
    _refuse_useless(options, pairs)
    background = tuple(read_key(str(value)) for value in options.background)
    categories = named((read_key(key), name) for key, name in options.categories.items())
    choice = choose_encoding(options.encoding, pairs.pairs, background, categories)
    reading = Reading(
        encoding=choice.encoding,
        guessed=choice.strict,
        background=background,
        categories=categories,
        category=options.category,
        only_named=options.only_named,
    )
    channels = {"depth": options.depth}
    stems = {root / pair.image: pair.stem for pair in islice(pairs.pairs, 20)}
    require_channels(root, stems, channels, stems.get)
    table = {} if options.categories else read_table(root)
    details, extra = read_about(root) if table else ({}, {})
    given = tuple(dict.fromkeys([*categories_of(table), *options.categories.values()]))
    return Dataset(
        root=root,
        samples=FolderSamples(root, pairs.pairs, reading, channels, table),
        ids=[pair.image for pair in pairs.pairs],
        categories=given if table else category_names(root, pairs.pairs, reading, given),
        annotation_files=tuple(
            root / n for n in (TABLE, DATASET_FILE) if table and (root / n).is_file()
        ),
        details=details,
        extra=extra,
        renamed=renamed_table if table else None,
        problems=pairs.problems,
        notes=(*layout_notes(tree, pairs.pairs), *choice.notes),
        doubts=choice.doubts,
    )


def _pairs(options: FolderOptions, tree: Tree) -> Pairs:
    from sv2r.loaders.folder.layout import find_places
    from sv2r.loaders.folder.pairs import pair_up

    if options.masks and not (tree.root / options.masks).is_dir():
        raise ConfigError(f"--loader.masks {options.masks}: no such folder in {tree.root}")
    if options.encoding == "per-instance" and options.mask_pattern:
        raise ConfigError(
            "--loader.encoding per-instance: masks are named <image>_<category>_<n>.png;"
            " leave --loader.mask_pattern out"
        )
    places = find_places(_asked(options), tree)
    return pair_up(tree, places, options.names, (options.depth,))


def _refuse_useless(options: FolderOptions, pairs: Pairs) -> None:
    """Refuse options on values where a file is an instance and its name gives the category."""
    if not any(pair.place.naming.mask is None for pair in pairs.pairs):
        return
    for name in ("background", "categories", "only_named", "names"):
        if getattr(options, name):
            raise ConfigError(
                f"--loader.{name}: has no meaning where masks are one file per instance"
                " (<image>_<category>_<n>.png); leave it out"
            )


def _asked(options: FolderOptions) -> Asked:
    one_file = None if options.encoding == "auto" else options.encoding == "per-instance"
    from sv2r.loaders.folder.layout import Asked

    return Asked(
        images=options.images,
        masks=options.masks,
        image_pattern=options.image_pattern,
        mask_pattern=options.mask_pattern or "{stem}.npy" * (options.encoding == "npy"),
        per_instance=one_file,
    )


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds pictures and masks, by names alone."""
    from sv2r.loaders.folder.foreign import foreign_format
    from sv2r.loaders.folder.layout import Asked, NothingFound, find_places

    try:
        tree = read_tree(root)
        if why := foreign_format(tree):
            return Match(0.0, why, known=True)
        place = find_places(Asked(), tree)[0]
    except NothingFound as error:
        return Match(0.0, error.reason, known=True)
    except ConfigError as error:
        return Match(0.0, str(error))
    return Match(0.6, place.words())


def build(options: FolderOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the folder loader."""
    return [
        LoaderSpec(
            name="folder",
            summary="Pictures and masks with the same stem, in nested folders.",
            options=FolderOptions,
            build=build,
            detect=detect,
        )
    ]
