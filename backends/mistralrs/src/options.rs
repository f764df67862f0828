//! What an engine may use.

use std::path::PathBuf;

use crate::error::LoadError;

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics card of NVIDIA's, by its number. Needs the feature `cuda`.
    Cuda(usize),
    /// Apple's. Needs the feature `metal`.
    Metal,
}

impl Device {
    pub(crate) fn is_accelerator(self) -> bool {
        self != Self::Cpu
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Cpu => "CPU".to_owned(),
            Self::Cuda(number) => format!("CUDA {number}"),
            Self::Metal => "Metal".to_owned(),
        }
    }

    pub(crate) fn open(self) -> Result<mistralrs::Device, LoadError> {
        match self {
            Self::Cpu => Ok(mistralrs::Device::Cpu),
            Self::Cuda(number) => mistralrs::Device::new_cuda(number),
            Self::Metal => mistralrs::Device::new_metal(0),
        }
        .map_err(|error| LoadError::Option {
            option: "device",
            reason: format!("{} cannot be used: {error}", self.name()),
        })
    }
}

/// What an engine may use; `None` chooses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Tokens of prompt and answer: at most what the model was made for; 8,192 if not given.
    pub context: Option<usize>,
    /// Choices that are worked on at once: on a CPU 1, and no more can be had; else 8 if not given.
    pub max_sequences: Option<usize>,
    /// To quantise safetensors while they are loaded: a type such as `Q4K`, or a number of bits.
    pub isq: Option<String>,
    /// Folders of LoRA adapters, all of which are put on the model.
    pub adapters: Vec<PathBuf>,
    /// What computes.
    pub device: Device,
}
