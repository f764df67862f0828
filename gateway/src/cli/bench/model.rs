//! `pointsman bench model`: a file of random weights in the shape of a real model, to measure engines with.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, bail};
use clap::Args;
use engine::generate::{self, Mix, Shape};

const AFTER: &str = "\
Shapes: llama-1b (Llama 3.2), llama-3b (Llama 3.2), llama-8b (Llama 3.1), qwen3-0.6b, qwen3-4b, gemma3-1b
Mixes:  Q4_K_M, Q8_0, Q4_0, Q6_K, as llama.cpp chooses the type of each tensor

Examples:
  pointsman bench model llama-1b Q4_K_M random.gguf
  pointsman bench model llama-8b Q4_0 part.gguf --layers 4    # what a layer costs, where the whole does not fit
  pointsman bench engines random.gguf

Sizes, types, tokenizer and chat template are those of the model, so it costs what the model costs; what it writes is noise.
The same seed makes the same file.";

/// Write a model of random weights in the shape of a real one
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Model {
    /// Whose shape
    shape: &'static Shape,
    /// Types of the weights
    mix: Mix,
    /// File to write; one that is there is left alone
    file: PathBuf,
    /// Layers, if not as many as the model has
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    layers: Option<u32>,
    /// What the weights follow from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(args: &Model) -> anyhow::Result<()> {
    let Model { shape, mix, file, layers, seed } = args;
    let layers = layers.unwrap_or(shape.layers());
    if layers > shape.layers() {
        bail!("{} has {} layers; give no more for --layers", shape.name, shape.layers());
    }
    let shape = &shape.with_layers(layers);
    if file.exists() {
        bail!("`{}` is there already; remove it, or name another file", file.display());
    }
    let began = Instant::now();
    // Under another name until it is whole, so that nobody loads half a model.
    let part = file.with_added_extension("part");
    let bytes = write(&generate::Model { shape, mix: *mix, seed: *seed }, &part).inspect_err(|_| {
        // Of what is left, the error has told why.
        let _ = fs::remove_file(&part);
    });
    let bytes = bytes.with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))?;
    println!(
        "{}: random weights in the shape of {}, {layers} layers, {mix}, {:.0} MB, written in {:.1} s",
        file.display(),
        shape.name,
        bytes as f64 / 1e6,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn write(model: &generate::Model<'_>, to: &Path) -> anyhow::Result<u64> {
    let mut out = BufWriter::new(File::create(to)?);
    let (mut told, mut size) = (0, 0);
    model.write(&mut out, |done, all| {
        // Each tenth.
        if done * 10 / all > told {
            told = done * 10 / all;
            eprintln!("{} % of {:.0} MB", told * 10, all as f64 / 1e6);
        }
        size = all;
    })?;
    out.flush()?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole_and_one_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("random.gguf");
        let shape = Box::leak(Box::new(Shape::ALL[3].small()));
        let model = Model { shape, mix: Mix::Q4_0, file: file.clone(), layers: None, seed: 1 };
        run(&model).unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["random.gguf"]);
        engine::gguf::File::open(&file).unwrap();
        let error = run(&model).unwrap_err().to_string();
        assert!(error.ends_with("is there already; remove it, or name another file"), "{error}");
    }

    #[test]
    fn nothing_is_left_of_a_file_that_could_not_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let shape = Box::leak(Box::new(Shape::ALL[3].small()));
        let model =
            Model { shape, mix: Mix::Q4_0, file: folder.path().join("gone/random.gguf"), layers: None, seed: 1 };
        let error = run(&model).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.ends_with("random.gguf.part"), "{error}");
    }
}
