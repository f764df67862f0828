"""The tokenizer: byte-level BPE, trained on the corpus, with the turn markers of the chat template.

Contract: any text encodes (all 256 bytes are tokens) and decodes to itself. The splitting pattern is GPT-2's, which
GGUF readers know as `tokenizer.ggml.pre = gpt-2`, and no merge crosses a split.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIALS = (PAD, BOS, END, SYSTEM, USER, ASSISTANT)

# One line, because every byte outside the braces would become part of the prompt. `<|end|>` closes a turn and is also
# the end-of-sequence token, so that engines which look at one of the two stop correctly.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}<|assistant|>"
    "{% elif message.role == 'system' or message.role == 'developer' %}<|system|>"
    "{% else %}<|user|>{% endif %}"
    "{% if message.content %}{{ message.content | trim }}{% endif %}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


class Vocabulary:
    """A trained tokenizer, with the lists that GGUF stores."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        described = json.loads(tokenizer.to_str())["model"]
        ids: dict[str, int] = described["vocab"]
        self._tokenizer = tokenizer
        self.tokens = sorted(ids, key=ids.__getitem__)
        self.merges = [" ".join(pair) for pair in described["merges"]]
        self.ids = ids
        self.bos, self.end, self.pad = ids[BOS], ids[END], ids[PAD]

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """Learns `size` tokens from `texts`, the specials first and then the 256 bytes."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(SPECIALS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        vocabulary = cls(tokenizer)
        if len(vocabulary.tokens) != size:
            raise ValueError(f"the corpus gives {len(vocabulary.tokens)} tokens, {size} were asked for")
        return vocabulary

    def encode(self, text: str) -> list[int]:
        """Ids of plain text."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens left out."""
        return self._tokenizer.decode(ids)
