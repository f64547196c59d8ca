"""Tokenizers that know letters and no word."""

from __future__ import annotations

from typing import Any


def clip_tokenizer(limit: int = 77) -> Any:
    """Return a CLIPTokenizer that knows every byte and no word."""
    from transformers import CLIPTokenizer

    letters = _byte_letters()
    tokens = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocab = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=limit)


def t5_tokenizer(limit: int = 32) -> Any:
    """Return a T5Tokenizer that knows printable ASCII letters and no word."""
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=special + letters, extra_ids=0, model_max_length=limit)


def _byte_letters() -> list[str]:
    """Return the 256 letters that byte-level BPE writes bytes with (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    names = {byte: chr(byte) for byte in plain} | {b: chr(256 + n) for n, b in enumerate(others)}
    return [names[byte] for byte in range(256)]
