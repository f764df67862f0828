"""The network: a llama-architecture decoder in JAX, its loss and its training step.

Contract: the numbers follow llama.cpp's `llama` graph exactly, so that the exported file means the same thing there:
RMSNorm before each half of a block, rotary positions on adjacent pairs (0,1), (2,3), ..., grouped-query attention,
SwiGLU, and an output layer that shares the embedding table. Knows nothing of text or of GGUF.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """Hyper-parameters. Every row length is a multiple of 32, the block of Q8_0."""

    vocab: int = 2048
    width: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    feed_forward: int = 768
    context: int = 512
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5

    @property
    def head(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    def parameters(self) -> int:
        """Number of weights, the shared embedding counted once."""
        kv = self.kv_heads * self.head
        block = 2 * self.width * (self.width + kv) + 3 * self.width * self.feed_forward + 2 * self.width
        return self.vocab * self.width + self.layers * block + self.width


def initial(shape: Shape, seed: int) -> Params:
    """Random weights, the same for the same seed. Matrices are `[out, in]`, as GGUF stores them."""
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> jax.Array:
        return jnp.asarray(rng.normal(0.0, scale * columns**-0.5, (rows, columns)), jnp.float32)

    kv = shape.kv_heads * shape.head
    # What a block adds to the residual stream starts small, so that depth does not blow up the variance.
    residual = (2 * shape.layers) ** -0.5
    blocks = [
        {
            "attn_norm": jnp.ones(shape.width),
            "attn_q": matrix(shape.width, shape.width),
            "attn_k": matrix(kv, shape.width),
            "attn_v": matrix(kv, shape.width),
            "attn_output": matrix(shape.width, shape.width, residual),
            "ffn_norm": jnp.ones(shape.width),
            "ffn_gate": matrix(shape.feed_forward, shape.width),
            "ffn_up": matrix(shape.feed_forward, shape.width),
            "ffn_down": matrix(shape.width, shape.feed_forward, residual),
        }
        for _ in range(shape.layers)
    ]
    embedding = jnp.asarray(rng.normal(0.0, 0.02, (shape.vocab, shape.width)), jnp.float32)
    return {"token_embd": embedding, "blocks": blocks, "output_norm": jnp.ones(shape.width)}


def rms_norm(x: jax.Array, gain: jax.Array, eps: float) -> jax.Array:
    """`x / rms(x) * gain` over the last axis."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * gain


def rotate(x: jax.Array, positions: jax.Array, base: float) -> jax.Array:
    """Rotary positions on adjacent pairs. `x` is `[rows, time, heads, head]`, `positions` is `[rows, time]`."""
    half = x.shape[-1] // 2
    frequency = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = positions[:, :, None, None].astype(jnp.float32) * frequency
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    pairs = x.reshape(*x.shape[:-1], half, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def hidden(params: Params, shape: Shape, tokens: jax.Array, positions: jax.Array, documents: jax.Array) -> jax.Array:
    """Final hidden states `[rows, time, width]`.

    Several documents may share a row: `documents` numbers them, and a token sees only earlier tokens of its own.
    """
    rows, time = tokens.shape
    group = shape.heads // shape.kv_heads
    causal = jnp.tril(jnp.ones((time, time), bool))
    visible = causal & (documents[:, :, None] == documents[:, None, :])
    bias = jnp.where(visible, 0.0, -1e30)[:, None, None]

    x = params["token_embd"][tokens]
    for block in params["blocks"]:
        y = rms_norm(x, block["attn_norm"], shape.norm_eps)
        q = (y @ block["attn_q"].T).reshape(rows, time, shape.heads, shape.head)
        k = (y @ block["attn_k"].T).reshape(rows, time, shape.kv_heads, shape.head)
        v = (y @ block["attn_v"].T).reshape(rows, time, shape.kv_heads, shape.head)
        q = rotate(q, positions, shape.rope_base).reshape(rows, time, shape.kv_heads, group, shape.head)
        k = rotate(k, positions, shape.rope_base)
        scores = jnp.einsum("rtkgh,rskh->rkgts", q, k) * shape.head**-0.5
        mixed = jnp.einsum("rkgts,rskh->rtkgh", jax.nn.softmax(scores + bias, axis=-1), v)
        x = x + mixed.reshape(rows, time, shape.width) @ block["attn_output"].T
        y = rms_norm(x, block["ffn_norm"], shape.norm_eps)
        x = x + (jax.nn.silu(y @ block["ffn_gate"].T) * (y @ block["ffn_up"].T)) @ block["ffn_down"].T
    return rms_norm(x, params["output_norm"], shape.norm_eps)


def logits(params: Params, shape: Shape, tokens: jax.Array, positions: jax.Array, documents: jax.Array) -> jax.Array:
    """Scores of the next token after every position: `[rows, time, vocab]`."""
    return hidden(params, shape, tokens, positions, documents) @ params["token_embd"].T


def loss(params: Params, shape: Shape, batch: dict[str, jax.Array]) -> jax.Array:
    """Mean cross-entropy over the tokens that `batch["weights"]` counts: the answers, not the questions."""
    scores = logits(params, shape, batch["tokens"], batch["positions"], batch["documents"])
    chosen = jnp.take_along_axis(scores, batch["targets"][..., None], axis=-1)[..., 0]
    surprise = jax.nn.logsumexp(scores, axis=-1) - chosen
    return jnp.sum(surprise * batch["weights"]) / jnp.sum(batch["weights"])
