"""A small text encoder whose tokenizer knows the words of the captions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ENDS = ("<|startoftext|>", "<|endoftext|>")
_TOKENS = 2048  # at most, besides single bytes
_LENGTH = 32


def make_tokenizer(captions: Iterable[str], folder: Path) -> Any:
    """Return a CLIPTokenizer whose byte-pair encoding is learnt from the captions.

    Every byte is a token as well, so that it takes any text; words of the captions are one token
    each where they are frequent. folder: where its files are written first.
    """
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(unk_token=_ENDS[1], end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(bytes_) + _TOKENS,
        initial_alphabet=bytes_,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(sorted({caption.lower() for caption in captions}), trainer)
    merges = [_pair(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]
    tokens = [*bytes_, *(f"{byte}</w>" for byte in bytes_)]
    tokens += [token for token in dict.fromkeys(a + b for a, b in merges) if token not in tokens]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate([*tokens, *_ENDS])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=_LENGTH)


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """Return a merge, which some versions of tokenizers write as one text."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def make_text_encoder(tokenizer: Any, width: int, seed: int) -> Any:
    """Return a CLIPTextModel of two layers with random weights, drawn by the seed.

    It stays as it is: distinct captions have distinct embeddings, and the UNet learns what they
    mean.
    """
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=_LENGTH,
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPTextModel(config).eval()
