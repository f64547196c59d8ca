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
# Batches without a new text after which the text encoders leave the device, at the most.
_LONGEST = 64
_LOG = logging.getLogger("sv2r.diffusion")


class Prompts:
    """Encodes prompts with a pipeline's own text encoders and remembers the last 128.

    device: where the pipeline computes. moves: whether the text encoders are taken off that device
    where batches come that need none of them.
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
        self._homes = {
            name: _homes(encoder, device)
            for name, encoder in self._encoders.items()
            if moves and encoder is not None
        }
        self._there = not moves
        self._idle, self._patience = 0, 1
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
            self._move(needed=bool(missing))
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
        if self._moves and self._there:
            self._detach()

    def _move(self, *, needed: bool) -> None:
        """Bring the text encoders where they are needed; take them off once they long are not.

        Each time that they have to come back they stay twice as long, so that texts that alternate
        do not send them to and fro.
        """
        self._idle = 0 if needed else self._idle + 1
        if needed and not self._there:
            self._attach()
        elif self._there and self._idle >= self._patience:
            self._patience = min(2 * self._patience, _LONGEST)
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
        self._there = True
        for name, weights in self._homes.items():
            sent: dict[int, Any] = {}  # what is tied stays one
            for owner, key, home in weights:
                if id(home) not in sent:
                    sent[id(home)] = _like(home, home.data.to(self._device, non_blocking=True))
                owner[key] = sent[id(home)]
            setattr(self._pipe, name, self._encoders[name])

    def _detach(self) -> None:
        self._there = False
        for name, weights in self._homes.items():
            for owner, key, home in weights:
                owner[key] = home  # never changed there, so nothing is copied back
            setattr(self._pipe, name, None)


# A module's parameters or buffers, the name of one, and it itself in the computer's memory.
_Weight = tuple[dict[str, Any], str, Any]


def _homes(encoder: Any, device: str) -> list[_Weight]:
    """Return a network's weights in the computer's memory, pinned where they are for a GPU."""
    kept: dict[int, Any] = {}
    weights: list[_Weight] = []
    for module in encoder.to("cpu").modules():
        for owner in (module._parameters, module._buffers):
            for key, weight in owner.items():
                if weight is None:
                    continue
                if id(weight) not in kept:
                    pins = device.startswith("cuda")
                    kept[id(weight)] = _like(weight, _pin(weight.data) if pins else weight.data)
                weights.append((owner, key, kept[id(weight)]))
    return weights


def _like(weight: Any, value: Tensor) -> Any:
    """Return a value as a parameter where the weight is one."""
    from torch.nn import Parameter

    if isinstance(weight, Parameter):
        return Parameter(value, requires_grad=weight.requires_grad)
    return value


def _pin(tensor: Tensor) -> Tensor:
    """Return a tensor in pinned memory, or as it is where the system gives no more of that."""
    try:
        return tensor.pin_memory()
    except RuntimeError:
        return tensor


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
