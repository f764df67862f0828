"""Scores a finished GGUF on questions that training never saw, by exact answer under greedy decoding.

Greedy decoding gives the expected answer exactly if, with that answer as the context, every one of its tokens is the
most likely next token. So one pass over question and answer decides, and no answer needs to be generated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

import phrases
import talk
from corpus import Conversation, Corpus, Turn, held_out, unseen
from documents import Document, encode
from facts import HOST_KINDS, LICENCE_KINDS, MODEL_KINDS, TIER_NAMES
from model import Params, Shape, logits
from tokenizer import ASSISTANT, BOS, END, USER, Vocabulary

ROWS = 16
# Prompts written by hand: nothing in the corpus was made from them. They must get one of the off-topic answers.
FREE_PROMPTS = (
    "What is the population of Iceland?", "Please write a sonnet about autumn leaves.",
    "Can you debug my React component?",
    "Give me three tips for a job interview.", "What is 17 squared?", "Who painted the Mona Lisa?",
    "Convert 30 degrees Celsius to Fahrenheit.", "Draft a resignation letter.", "How do vaccines work?",
    "Explain recursion to a beginner.", "What should I wear to a wedding in June?", "Generate a random password.",
    "서울에서 부산까지 얼마나 걸려요?", "Pouvez-vous résumer la Révolution française ?", "Wie koche ich Reis?",
    "¿Quién escribió Don Quijote?", "请帮我写一封邮件。", "おすすめの映画を教えてください。",
    "Compare socialism and capitalism.", "What are good names for a kitten?", "Suggest a workout for beginners.",
    "My laptop does not turn on.", "Who is the CEO of Toyota?", "Describe the plot of Hamlet.",
    "Rate my business idea: a cafe for cats.", "What is photosynthesis?", "Write a docker-compose file for postgres.",
    "List the planets of the solar system.", "How many bones does a human have?", "asdf jkl qwerty",
)  # fmt: skip


def held_out_turns(corpus: Corpus) -> Iterator[tuple[str, Turn]]:
    """Every group of held-out questions, as (what is new about it, question)."""
    rng = corpus.rng
    for kind in MODEL_KINDS:
        known = corpus.models
        for _ in range(60):
            model, phrasing = rng.choice(known), rng.choice(unseen(phrases.MODEL[kind]))
            yield "new phrasing", corpus.model_turn(kind, model, phrasing)
        pairs = [
            (model, phrasing)
            for model in known
            for phrasing in phrases.MODEL[kind]
            if held_out(phrasing, model["id"]) and phrasing not in unseen(phrases.MODEL[kind])
        ]
        for model, phrasing in rng.sample(pairs, 60):
            yield "new pair", corpus.model_turn(kind, model, phrasing)
    for kind in LICENCE_KINDS:
        for row in corpus.licences:
            yield "new phrasing", corpus.licence_turn(kind, row, rng.choice(unseen(phrases.LICENCE[kind])))
    for kind in HOST_KINDS:
        for row in corpus.catalog.hosts.values():
            if turn := corpus.host_turn(kind, row, rng.choice(unseen(phrases.HOST[kind]))):
                yield "new phrasing", turn
    for kind, ways in phrases.TIER.items():
        for tier in TIER_NAMES:
            yield "new phrasing", corpus.tier_turn(kind, tier, rng.choice(unseen(ways)))
    for a in TIER_NAMES:
        for b in TIER_NAMES:
            if a != b:
                yield "new phrasing", corpus.tier_pair_turn(a, b, rng.choice(unseen(phrases.STRICTER_TIER)))
    for kind, ways in phrases.COMPARE.items():
        pairs = [(a, b) for a in corpus.known for b in corpus.known if a is not b and held_out(kind, a["id"], b["id"])]
        for a, b in rng.sample(pairs, min(80, len(pairs))):
            if turn := corpus.compare_turn(kind, a, b, rng.choice(ways)):
                yield "new pair", turn
    for developer in corpus.developers:
        yield "new phrasing", corpus.developer_turn(developer, rng.choice(unseen(phrases.DEVELOPER)))
    for _ in range(120):
        kind = rng.choice(MODEL_KINDS)
        yield "new name", corpus.unknown_turn(rng.choice(phrases.MODEL[kind]), kind, kept_out=True)
    for alias in corpus.shared:
        yield "new phrasing", corpus.shared_turn(alias, rng.choice(unseen(phrases.MODEL[rng.choice(MODEL_KINDS)])))
    for answer, ways in talk.POINTSMAN:
        yield from (("new phrasing", corpus.pointsman_turn(answer, way)) for way in unseen(ways))
    for answer, ways in talk.SMALL_TALK:
        yield from (("new phrasing", Turn("small-talk", way, answer)) for way in unseen(ways))
    for start, ways in talk.OFF_TOPIC:
        for way in unseen(ways):
            yield from (("new phrasing", corpus.off_topic_turn(start, way)) for _ in range(4))


def exact(params: Params, shape: Shape, vocabulary: Vocabulary, turns: list[Turn]) -> list[bool]:
    """For each question whether greedy decoding answers it exactly as expected."""
    score = jax.jit(lambda p, batch: jnp.argmax(logits(p, shape, **batch), axis=-1))
    documents = [encode(Conversation((turn,)), vocabulary) for turn in turns]
    order = sorted(range(len(turns)), key=lambda i: len(documents[i].ids))
    right = [False] * len(turns)
    for start in range(0, len(order), ROWS):
        chosen = order[start : start + ROWS]
        batch = padded([documents[i].ids for i in chosen], shape.context)
        best = np.asarray(score(params, batch))
        for row, i in enumerate(chosen):
            right[i] = answered(best[row], documents[i])
    return right


def answered(best: np.ndarray, document: Document) -> bool:
    """Whether each token of the answer was the first choice one position earlier."""
    return all(best[at - 1] == token for at, token in enumerate(document.ids) if document.learn[at])


def padded(rows: list[list[int]], context: int) -> dict[str, jax.Array]:
    """Rows of ids as one batch, at a multiple of 64 tokens so that few shapes are compiled."""
    length = min(context, -(-max(map(len, rows)) // 64) * 64)
    tokens = np.zeros((ROWS, length), np.int32)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = ids[:length]
    positions = np.broadcast_to(np.arange(length, dtype=np.int32), tokens.shape)
    return {
        "tokens": jnp.asarray(tokens),
        "positions": jnp.asarray(positions),
        "documents": jnp.zeros_like(tokens),
    }


def generate(
    params: Params, shape: Shape, vocabulary: Vocabulary, prompts: Iterable[str], limit: int = 120
) -> list[str]:
    """Greedy answers to single prompts. Simple rather than fast: every step computes the whole row again."""
    ids = vocabulary.ids
    score = jax.jit(lambda p, batch: jnp.argmax(logits(p, shape, **batch), axis=-1))
    prompts, answers = list(prompts), []
    for first in range(0, len(prompts), ROWS):
        asked = [vocabulary.encode(prompt) for prompt in prompts[first : first + ROWS]]
        rows = [[ids[BOS], ids[USER], *prompt, ids[END], ids[ASSISTANT]] for prompt in asked]
        starts, open_rows = [len(r) for r in rows], set(range(len(rows)))
        for _ in range(limit):
            best = np.asarray(score(params, padded(rows, shape.context)))
            for r in list(open_rows):
                token = int(best[r, len(rows[r]) - 1])
                if token == vocabulary.end or len(rows[r]) + 1 >= shape.context:
                    open_rows.discard(r)
                else:
                    rows[r].append(token)
            if not open_rows:
                break
        answers += [vocabulary.decode(row[start:]) for row, start in zip(rows, starts, strict=True)]
    return answers


def report(params: Params, shape: Shape, vocabulary: Vocabulary, corpus: Corpus) -> dict[str, object]:
    """The shares of exact answers by kind and by what is new, and the answers to the free prompts."""
    asked = [
        (new, turn)
        for new, turn in held_out_turns(corpus)
        if len(encode(Conversation((turn,)), vocabulary).ids) <= shape.context
    ]
    right = exact(params, shape, vocabulary, [turn for _, turn in asked])
    kinds: dict[str, list[bool]] = defaultdict(list)
    novelty: dict[str, list[bool]] = defaultdict(list)
    for (new, turn), ok in zip(asked, right, strict=True):
        kinds[turn.kind].append(ok)
        novelty[new].append(ok)
    replies = generate(params, shape, vocabulary, FREE_PROMPTS)
    graceful = [reply.endswith(talk.WHAT_I_AM) for reply in replies]

    def share(oks: list[bool]) -> dict[str, float]:
        return {"questions": len(oks), "exact": round(sum(oks) / len(oks), 4)}

    def shares(groups: dict[str, list[bool]]) -> dict[str, dict[str, float]]:
        return {name: share(oks) for name, oks in sorted(groups.items())}

    return {
        "measured": "exact answer to a single question, greedy, with the dequantised weights of the exported file",
        "all": share(right),
        "by_what_is_new": shares(novelty),
        "by_kind": shares(kinds),
        "free_prompts": {"prompts": len(replies), "says_what_it_is": round(sum(graceful) / len(graceful), 4)},
        "free_prompt_misses": [
            {"prompt": p, "answer": a} for p, a, ok in zip(FREE_PROMPTS, replies, graceful, strict=True) if not ok
        ],
        "wrong_examples": [
            {"kind": t.kind, "question": t.question, "expected": t.answer}
            for (_, t), ok in zip(asked, right, strict=True)
            if not ok
        ][:: max(1, right.count(False) // 20)],
    }
