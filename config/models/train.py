"""Trains the demo model from nothing and writes it as GGUF, with its score on held-out questions.

The demo model is a llama-architecture network of 3.7 million parameters that is built into Pointsman, so that a fresh
clone answers requests with no key, no network and no download. It knows the catalog (who made a model, its licence and
tier, commercial use, context window, size, languages, hosts), what Pointsman is, and small talk; asked anything else,
it says what it is. It is a self-contained default for trying routes and for tests. It is not an assistant, it is wrong on a
share of questions (see `evaluation.json`), and its word on a licence decides nothing: the catalog's rows do.

    pip install -r requirements.txt
    python train.py                      # a quarter of an hour on two free cores

Read in this order: `facts.py` (catalog rows as sentences), `phrases.py` and `talk.py` (how people ask), `corpus.py`
(conversations, and what is held out), `tokenizer.py`, `documents.py` (rows of tokens), `model.py` (the network),
`export.py` (GGUF), `evaluate.py` (the score).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

import evaluate
import export
from corpus import Corpus
from documents import batches
from facts import Catalog
from model import Params, Shape, initial, loss
from tokenizer import Vocabulary

HERE = Path(__file__).resolve().parent
CATALOG = HERE.parents[1] / "catalog" / "data"
TOKENIZER_DOCUMENTS = 30_000
EVALUATION_SEED = 1_000_003  # Of the questions, so that a new training seed is scored on the same ones.


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--catalog", type=Path, default=CATALOG, help="folder of YAML")
    parser.add_argument("--out", type=Path, default=HERE / "pointsman-demo.gguf", help="file to write")
    parser.add_argument("--scores", type=Path, default=HERE / "evaluation.json", help="where the evaluation goes")
    parser.add_argument("--seed", type=int, default=7, help="of weights and conversations")
    parser.add_argument("--steps", type=int, default=900, help="optimizer steps")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a step")
    parser.add_argument("--rate", type=float, default=2e-2, help="peak learning rate of the matrices (Muon)")
    parser.add_argument("--table-rate", type=float, default=4e-3, help="peak learning rate of the rest (Adam)")
    parser.add_argument("--save-every", type=int, default=0, help="steps between unfinished copies; 0: none")
    parser.add_argument("--evaluate-only", action="store_true", help="score the file at --out again")
    return parser.parse_args()


def vocabulary_of(catalog: Catalog, seed: int, size: int) -> Vocabulary:
    """The tokenizer, trained on the first conversations of the stream that the model is trained on."""

    def texts() -> list[str]:
        found = []
        for conversation in itertools.islice(Corpus(catalog, seed).stream(), TOKENIZER_DOCUMENTS):
            found += [text for turn in conversation.turns for text in (turn.question, turn.answer)]
            found += [text for text in (conversation.text, conversation.system) if text]
        return found

    return Vocabulary.train(texts(), size)


def optimizer(args: argparse.Namespace) -> optax.GradientTransformation:
    """Muon for the matrices of the blocks, Adam for the embedding table and the norms; both fall to zero in the end."""

    def schedule(peak: float) -> optax.Schedule:
        return optax.warmup_cosine_decay_schedule(0.0, peak, min(100, args.steps // 10), args.steps)

    def matrices(params: Params) -> object:
        one = optax.contrib.MuonDimensionNumbers()
        return jax.tree.map_with_path(
            lambda path, value: one if value.ndim == 2 and "blocks" in jax.tree_util.keystr(path) else None, params
        )

    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.contrib.muon(
            schedule(args.rate),
            weight_decay=0.01,
            adam_learning_rate=schedule(args.table_rate),
            adam_b2=0.99,
            muon_weight_dimension_numbers=matrices,
        ),
    )


def train(args: argparse.Namespace, shape: Shape, catalog: Catalog, vocabulary: Vocabulary) -> Params:
    """Runs every step and prints how it goes."""
    params = initial(shape, args.seed)
    rule = optimizer(args)
    state = rule.init(params)

    @jax.jit
    def step(
        params: Params, state: optax.OptState, batch: dict[str, jax.Array]
    ) -> tuple[Params, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, shape, batch)
        updates, state = rule.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    source = batches(Corpus(catalog, args.seed).stream(), vocabulary, shape.context, args.tokens)
    began, average = time.monotonic(), None
    for number, batch in enumerate(itertools.islice(source, args.steps), 1):
        params, state, value = step(params, state, {k: jnp.asarray(v) for k, v in batch.items()})
        if args.save_every and number % args.save_every == 0:
            export.write(args.out, params, shape, vocabulary)
        average = value if average is None else 0.95 * average + 0.05 * value
        if number % 20 == 0 or number == args.steps:
            latest = float(average)  # Waits for the step, so the clock below counts finished work.
            passed = time.monotonic() - began
            print(
                f"step {number:5}/{args.steps}  loss {latest:.4f}  {number * args.tokens / passed:6.0f} tokens/s  "
                f"{passed / 60:5.1f} min, {passed / number * (args.steps - number) / 60:5.1f} min left",
                flush=True,
            )
    return params


def main() -> int:
    """Corpus, tokenizer, training, export, evaluation."""
    args = arguments()
    shape = Shape()
    catalog = Catalog.load(args.catalog)
    vocabulary = vocabulary_of(catalog, args.seed, shape.vocab)
    print(
        f"{len(catalog.models)} models, {len(catalog.licenses)} licences, {len(catalog.hosts)} hosts; "
        f"{shape.parameters():,} parameters, {shape.vocab} tokens",
        flush=True,
    )
    if not args.evaluate_only:
        export.write(args.out, train(args, shape, catalog, vocabulary), shape, vocabulary)
    written = args.out.read_bytes()
    print(f"{args.out}: {len(written):,} bytes, sha256 {hashlib.sha256(written).hexdigest()}", flush=True)

    result = evaluate.report(export.read(args.out, shape), shape, vocabulary, Corpus(catalog, EVALUATION_SEED))
    settings = {"seed": args.seed, "steps": args.steps, "tokens_per_step": args.tokens}
    result = {"file": args.out.name, "sha256": hashlib.sha256(written).hexdigest(), **settings, **result}
    args.scores.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({k: result[k] for k in ("all", "by_what_is_new", "by_kind", "free_prompts")}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
