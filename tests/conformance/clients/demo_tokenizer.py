"""The demo model's tokenizer as a folder that `transformers` reads: `demo_tokenizer.py FILE.gguf FOLDER`."""

import sys

from gguf import GGUFReader
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast


def main(file: str, folder: str) -> None:
    reader = GGUFReader(file)
    tokens, merges = (reader.get_field(f"tokenizer.ggml.{name}").contents() for name in ("tokens", "merges"))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # As the engine does with a text: the mark of the beginning comes first.
    begin = reader.get_field("tokenizer.ggml.bos_token_id").contents()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{tokens[begin]} $A", special_tokens=[(tokens[begin], begin)]
    )
    marks = {name: tokens[reader.get_field(f"tokenizer.ggml.{name}_id").contents()] for name in ("bos_token", "eos_token")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
