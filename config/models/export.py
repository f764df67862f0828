"""Writes the network as GGUF: Q8_0 matrices, F32 norms, tokenizer and chat template inside; and reads it back.

Contract: the same weights and tokenizer give the same bytes. `read` uses the reader of the `gguf` package on the
finished file, so that the evaluation scores what ships and not what was trained.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import jax.numpy as jnp
import numpy as np
from gguf.quants import dequantize, quantize

from model import Params, Shape
from tokenizer import CHAT_TEMPLATE, SPECIALS, Vocabulary

DESCRIPTION = "Self-contained default of Pointsman: knows its model catalog, for trying routes and for tests"
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
NORMS = ("attn_norm", "ffn_norm")
Q8_0 = gguf.GGMLQuantizationType.Q8_0


def write(path: Path, params: Params, shape: Shape, vocabulary: Vocabulary) -> None:
    """Writes the file and replaces `path` only when it is complete."""
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "llama")
    writer.add_name("Pointsman demo")
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head)
    writer.add_vocab_size(shape.vocab)

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in SPECIALS else normal for token in vocabulary.tokens])
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_eot_token_id(vocabulary.end)
    writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    def matrix(name: str, value: object) -> None:
        writer.add_tensor(name, quantize(np.asarray(value, np.float32), Q8_0), raw_dtype=Q8_0)

    def norm(name: str, value: object) -> None:
        writer.add_tensor(name, np.asarray(value, np.float32))

    matrix("token_embd.weight", params["token_embd"])
    for index, block in enumerate(params["blocks"]):
        for name in NORMS:
            norm(f"blk.{index}.{name}.weight", block[name])
        for name in MATRICES:
            matrix(f"blk.{index}.{name}.weight", block[name])
    norm("output_norm.weight", params["output_norm"])

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def read(path: Path, shape: Shape) -> Params:
    """The weights of a finished file, dequantised, in the layout of `model`."""
    reader = gguf.GGUFReader(path)
    tensors = {t.name: jnp.asarray(dequantize(t.data, t.tensor_type), jnp.float32) for t in reader.tensors}
    blocks = [
        {name: tensors[f"blk.{index}.{name}.weight"] for name in NORMS + MATRICES} for index in range(shape.layers)
    ]
    return {
        "token_embd": tensors["token_embd.weight"],
        "blocks": blocks,
        "output_norm": tensors["output_norm.weight"],
    }
