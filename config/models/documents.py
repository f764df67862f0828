"""Turns conversations into token rows of a fixed length, several documents to a row.

Contract: only the tokens of answers (with the end token behind them) carry weight in the loss; plain text carries it
everywhere. A document longer than the context window is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from corpus import Conversation
from tokenizer import ASSISTANT, BOS, END, SYSTEM, USER, Vocabulary

Batch = dict[str, np.ndarray]
OPEN_ROWS = 48  # How many rows wait for a document that fills them up.


@dataclass
class Document:
    """Token ids, and for each whether the model is to learn to say it."""

    ids: list[int] = field(default_factory=list)
    learn: list[bool] = field(default_factory=list)

    def add(self, ids: list[int], learn: bool) -> None:
        """Appends tokens."""
        self.ids += ids
        self.learn += [learn] * len(ids)


def encode(conversation: Conversation, vocabulary: Vocabulary) -> Document:
    """The document that the chat template gives for this conversation."""
    ids = vocabulary.ids
    document = Document()
    document.add([ids[BOS]], learn=False)
    if conversation.text is not None:
        document.add([*vocabulary.encode(conversation.text), ids[END]], learn=True)
        return document
    if conversation.system:
        document.add([ids[SYSTEM], *vocabulary.encode(conversation.system), ids[END]], learn=False)
    for turn in conversation.turns:
        document.add([ids[USER], *vocabulary.encode(turn.question.strip()), ids[END], ids[ASSISTANT]], learn=False)
        document.add([*vocabulary.encode(turn.answer), ids[END]], learn=True)
    return document


class Rows:
    """Rows of one length that are being filled."""

    def __init__(self, length: int, count: int) -> None:
        self.length, self.count = length, count
        self._open: list[list[Document]] = []
        self._full: list[list[Document]] = []

    def _used(self, row: list[Document]) -> int:
        return sum(len(d.ids) - 1 for d in row)

    def add(self, document: Document) -> Batch | None:
        """Places a document; gives a batch when `count` rows are full."""
        need = len(document.ids) - 1
        row = next((r for r in self._open if self._used(r) + need <= self.length), None)
        if row is None:
            row = []
            self._open.append(row)
        row.append(document)
        if len(self._open) > OPEN_ROWS:
            fullest = max(range(len(self._open)), key=lambda i: self._used(self._open[i]))
            self._full.append(self._open.pop(fullest))
        if len(self._full) < self.count:
            return None
        rows, self._full = self._full, []
        return self._batch(rows)

    def _batch(self, rows: list[list[Document]]) -> Batch:
        shape = (self.count, self.length)
        batch = {name: np.zeros(shape, np.int32) for name in ("tokens", "targets", "positions", "documents")}
        batch["weights"] = np.zeros(shape, np.float32)
        for r, row in enumerate(rows):
            start = 0
            for number, document in enumerate(row, 1):
                stop = start + len(document.ids) - 1
                batch["tokens"][r, start:stop] = document.ids[:-1]
                batch["targets"][r, start:stop] = document.ids[1:]
                batch["weights"][r, start:stop] = document.learn[1:]
                batch["positions"][r, start:stop] = np.arange(stop - start)
                batch["documents"][r, start:stop] = number
                start = stop
        return batch


def batches(stream: Iterator[Conversation], vocabulary: Vocabulary, context: int, tokens: int) -> Iterator[Batch]:
    """Batches of `tokens` tokens: short documents in short rows, the rest in rows as long as the context window."""
    short, long = Rows(context // 4, 4 * tokens // context), Rows(context, tokens // context)
    for conversation in stream:
        document = encode(conversation, vocabulary)
        if len(document.ids) > context:
            continue
        batch = (short if len(document.ids) <= context // 4 else long).add(document)
        if batch is not None:
            yield batch
