"""The prompt of each picture: a template over what its labels and attributes say."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from sv2r.config.sections import PROMPT_FIELDS, PromptOptions
from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.words import nearest
from sv2r.types import Instances, Sample
from sv2r.worker.seeds import draw


@dataclass(frozen=True)
class Prompt:
    """A picture's prompt, its negative prompt, and what the `vary` lists gave."""

    text: str
    negative: str
    drawn: Mapping[str, str]


def write_prompt(options: PromptOptions, sample: Sample, instances: Instances, seed: int) -> Prompt:
    """Return the prompt of one picture.

    Raises:
        SampleError: the template names a field that this sample does not have.
    """
    drawn = {name: draw(seed, name, choices) for name, choices in options.vary.items()}
    values = {
        **sample.attributes,
        **drawn,
        "categories": describe_categories(instances, options.words) or options.unlabelled,
        "count": str(len(instances.table)),
    }
    return Prompt(
        _fill(options.template, values, sample),
        _fill(options.negative, values, sample),
        MappingProxyType(drawn),
    )


def check_template(options: PromptOptions, attributes: Mapping[str, str]) -> None:
    """Raise ConfigError where the template names a field that a first sample does not have."""
    known = {*PROMPT_FIELDS, *options.vary, *attributes}
    for field in _fields(options):
        if field not in known:
            near = nearest(field, known)
            there = ", ".join(f"{{{name}}}" for name in sorted(known))
            hint = f"did you mean {{{near}}}?" if near else f"there are {there}"
            raise ConfigError(f"prompt: no field {{{field}}}; {hint}")


def unused_lists(options: PromptOptions) -> list[str]:
    """Return the names of the `vary` lists that neither template uses."""
    return sorted(options.vary.keys() - _fields(options).keys())


def _fields(options: PromptOptions) -> dict[str, None]:
    parts = (string.Formatter().parse(text) for text in (options.template, options.negative))
    return dict.fromkeys(field for _, field, _, _ in chain(*parts) if field is not None)


def describe_categories(instances: Instances, words: Mapping[str, str]) -> str:
    """Return what the labels show in plain words: "table, mug and bowl", most area first."""
    areas: Counter[str] = Counter()
    for id_, area in instances.areas().items():
        areas[instances.table[id_].category] += area
    named = [words.get(category, plain_words(category)) for category, _ in areas.most_common()]
    unique = list(dict.fromkeys(name for name in named if name))
    if len(unique) < 2:
        return "".join(unique)
    return f"{', '.join(unique[:-1])} and {unique[-1]}"


def plain_words(category: str) -> str:
    """Return a category's name as words: "SM_CoffeeMug-02" gives "coffee mug"."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", category)
    text = re.sub(r"[_\-.:/\\]+", " ", text)
    kept = [word for word in text.split() if not _is_noise(word)]
    return " ".join(kept).lower() or category


def _is_noise(word: str) -> bool:
    # Asset prefixes and running numbers of game engines; a name of digits alone is kept whole.
    return word in {"SM", "SK", "BP", "prop", "geo"} or bool(re.fullmatch(r"\d{2,}", word))


def _fill(template: str, values: Mapping[str, str], sample: Sample) -> str:
    try:
        return template.format_map(values)
    except KeyError as missing:
        name = missing.args[0]
        raise SampleError(f"{sample.id}: the prompt names {{{name}}}, which it lacks") from None
