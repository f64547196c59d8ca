"""Prompt embeddings, each text encoded once."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sv2r.diffusion.families import Family

if TYPE_CHECKING:
    from torch import Tensor

_KEPT = 128
_LOG = logging.getLogger("sv2r.diffusion")


class Prompts:
    """Encodes prompts with a pipeline's own text encoders and remembers the last 128.

    device: where the pipeline computes. moves: whether the text encoders are taken off that device
    as soon as a batch comes that needs none of them.
    """

    def __init__(self, pipe: Any, family: Family, device: str, *, moves: bool) -> None:
        self._pipe = pipe
        self._family = family
        self._device = device
        self._moves = moves
        self._encoders = {name: getattr(pipe, name, None) for name in family.text_encoders}
        self._positive: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._negative: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._told = False
        if moves:
            self._detach()

    def embed(
        self, prompts: Sequence[str], negatives: Sequence[str], *, guided: bool
    ) -> dict[str, Tensor]:
        """Return what the pipeline takes in place of texts: one row per picture in each tensor.

        negatives: "" for none, which a pipeline may treat otherwise than an empty text; unused
            where the model has no such side (Flux).
        guided: whether the pipeline needs the negative side at all.
        """
        guided = guided and self._family.negatives
        missing = [p for p in prompts if p not in self._positive]
        missing += [n for n in negatives if guided and n not in self._negative]
        if self._moves:
            self._attach() if missing else self._detach()
        rows = [_remember(self._positive, text, self._encode) for text in prompts]
        if guided:
            like = rows[0]
            others = [
                _remember(self._negative, text, lambda text: self._encode_negative(text, like))
                for text in negatives
            ]
            rows = [row | other for row, other in zip(rows, others, strict=True)]
        return _stack(rows)

    def release(self) -> None:
        """Take the text encoders off the device now, to make room."""
        if self._moves:
            self._detach()

    def _encode(self, text: str) -> dict[str, Tensor]:
        self._tell_if_cut(text)
        guidance = {"do_classifier_free_guidance": False} if self._family.negatives else {}
        return self._call(prompt=[text], **guidance)

    def _encode_negative(self, text: str, like: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the negative side's embeddings; the positive side is given, not encoded again."""
        found = self._call(
            prompt=None,
            negative_prompt=[text] if text else None,
            do_classifier_free_guidance=True,
            **like,
        )
        return {name: value for name, value in found.items() if name.startswith("negative")}

    def _call(self, **kwargs: Any) -> dict[str, Tensor]:
        import torch

        with torch.no_grad():
            found = self._pipe.encode_prompt(
                device=torch.device(self._device),
                num_images_per_prompt=1,
                **dict.fromkeys(self._family.texts),
                **kwargs,
            )
        named = zip(self._family.embeds, found, strict=True)
        return {name: value for name, value in named if name and value is not None}

    def _tell_if_cut(self, text: str) -> None:
        """Say of the first text for which it is so that the model reads only its beginning."""
        if self._told:
            return
        names = [name.replace("text_encoder", "tokenizer") for name in self._family.text_encoders]
        tokenizers = [t for t in (getattr(self._pipe, name, None) for name in names) if t]
        limits = [
            tokenizer.model_max_length
            for tokenizer in tokenizers
            if len(tokenizer(text).input_ids) > tokenizer.model_max_length
        ]
        if tokenizers and len(limits) == len(tokenizers):
            self._told = True
            _LOG.warning("the model reads only the first %d tokens of: %s", max(limits), text)

    def _attach(self) -> None:
        for name, encoder in self._encoders.items():
            if encoder is not None:
                setattr(self._pipe, name, encoder.to(self._device))

    def _detach(self) -> None:
        for name, encoder in self._encoders.items():
            if encoder is not None:
                encoder.to("cpu")
                setattr(self._pipe, name, None)


def _remember(
    kept: OrderedDict[str, dict[str, Tensor]],
    text: str,
    encode: Callable[[str], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """Return a text's embeddings, encoding it where it is not among the last 128."""
    if text not in kept:
        kept[text] = encode(text)
    kept.move_to_end(text)
    while len(kept) > _KEPT:
        kept.popitem(last=False)
    return kept[text]


def _stack(rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    import torch

    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
