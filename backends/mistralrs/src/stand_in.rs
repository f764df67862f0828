//! What mistralrs gets in place of a model's tokenizer and template.
//!
//! It wants a tokenizer to write text that nobody here reads, and to know which tokens end an answer, which is not its to
//! decide here. So each token is spelled as its number, and one of those that end an answer ends a sequence when a choice is
//! over for whatever reason; a choice is over whenever one of them is drawn. Its readers of real tokenizers also panic on some.
//!
//! The template is a word without meaning: mistralrs looks into a model's own for ways of reasoning, and for one of them
//! fetches a vocabulary from the network.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The files, as long as it lives.
pub(crate) struct StandIn {
    folder: TempDir,
}

impl StandIn {
    /// For a model of so many tokens, of which `end` ends a sequence.
    pub(crate) fn write(tokens: usize, end: u32) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let words: Map<String, Value> = (0..tokens).map(|id| (id.to_string(), id.into())).collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null,
            // One of the two kinds that mistralrs makes its own table of bytes from.
            "decoder": {"type": "ByteFallback"},
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "0"},
        });
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string())?;
        let config = json!({"eos_token": end.to_string(), "chat_template": "none"});
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string())?;
        Ok(Self { folder })
    }

    pub(crate) fn tokenizer(&self) -> PathBuf {
        self.path().join("tokenizer.json")
    }

    pub(crate) fn template(&self) -> PathBuf {
        self.path().join("tokenizer_config.json")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}
