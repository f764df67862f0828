//! What mistralrs gets in place of a model's tokenizer and template.
//!
//! It wants a tokenizer to write text that nobody here reads, and to know which tokens end an answer, which is not its to
//! decide here. So each token is spelled as its number, and one of those that end an answer ends a sequence when a choice is
//! over for whatever reason; a choice is over whenever one of them is drawn. Its readers of real tokenizers also panic on some.
//! A space behind each number parts it from the next, so that text becomes the tokens again that it was made of, as mistralrs
//! has it where pictures are; those that it looks for by name, to find pictures, have their names.
//!
//! The template writes the one message that there is: mistralrs looks into a model's own for ways of reasoning, and for one of
//! them fetches a vocabulary from the network.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::gemma3::Eyes;

/// A token without a name.
pub(crate) fn spelled(id: u32) -> String {
    format!("{id} ")
}

/// The files, as long as it lives.
pub(crate) struct StandIn {
    folder: TempDir,
}

impl StandIn {
    /// For a model of so many tokens, of which `end` ends a sequence, and that may read pictures.
    pub(crate) fn write(tokens: usize, end: u32, eyes: Option<&Eyes>) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, value: Value| std::fs::write(folder.path().join(name), value.to_string());
        let names = eyes.map(Eyes::names).into_iter().flatten();
        let mut words: Vec<String> = (0..tokens as u32).map(spelled).collect();
        for (id, name) in names.clone() {
            if let Some(word) = words.get_mut(id as usize) {
                name.clone_into(word);
            }
        }
        let special = |(id, name): (u32, &str)| {
            json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false})
        };
        let unknown = words.first().cloned().unwrap_or_default();
        let end = words.get(end as usize).cloned().unwrap_or_default();
        let words: Map<String, Value> = (0..).zip(words).map(|(id, word)| (word, Value::from(id))).collect();
        write(
            "tokenizer.json",
            json!({
                "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
                "added_tokens": names.map(special).collect::<Vec<_>>(),
                // What is no number is nothing.
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[0-9]+ "}, "behavior": "Removed", "invert": true},
                // One of the two kinds that mistralrs makes its own table of bytes from.
                "decoder": {"type": "ByteFallback"},
                "model": {"type": "WordLevel", "vocab": words, "unk_token": unknown},
            }),
        )?;
        write("tokenizer_config.json", json!({"eos_token": end, "chat_template": "{{ messages[0]['content'] }}"}))?;
        for (name, value) in eyes.map(Eyes::files).into_iter().flatten() {
            write(name, value)?;
        }
        Ok(Self { folder })
    }

    /// A file that says how pictures are read, if there is one.
    pub(crate) fn optional(&self, name: &str) -> Option<PathBuf> {
        Some(self.path().join(name)).filter(|path| path.is_file())
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
