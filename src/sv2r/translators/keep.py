"""No translation: every picture stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Runtime, Translator, TranslatorSpec
from sv2r.types import Batch

if TYPE_CHECKING:
    from torch import Tensor


class KeepOptions(Options):
    """There is nothing to choose."""


def build(options: KeepOptions, runtime: Runtime) -> Translator:
    """Return what gives back the pictures that it gets."""

    def translate(batch: Batch) -> Sequence[Tensor]:
        return [frame.pixels for frame in batch.frames]

    return translate


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[KeepOptions]]:
    """Return the translator that changes nothing."""
    return [
        TranslatorSpec(
            name="keep",
            summary="Leave every picture as it is: what sv2r export does, in another layout.",
            options=KeepOptions,
            build=build,
            keeps=True,
        )
    ]
