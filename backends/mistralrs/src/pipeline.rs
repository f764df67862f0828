//! Has mistralrs load a model.
//!
//! Files are handed to it one by one, so that no code of it that could ask a hub is run, whatever `HF_HUB_OFFLINE` says. Only a
//! UQFF file takes that code's way, with a folder that is there, which it reads instead; it makes the hub's folder for a cache,
//! if there is none. Its cache of prefixes stays off: on a CPU nothing is ever taken out of it again, and it does not keep
//! teams apart.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use mistralrs::core::{
    AdapterPaths, AutoDeviceMapParams, DefaultSchedulerMethod, DeviceMapSetting, GGUFLoaderBuilder, GGUFSpecificConfig,
    IsqType, Loader, LocalModelPaths, MistralRs, MistralRsBuilder, ModelDType, ModelPaths, MultimodalLoaderBuilder,
    MultimodalLoaderType, MultimodalSpecificConfig, NormalLoaderBuilder, NormalSpecificConfig, Pipeline,
    SchedulerConfig, TokenSource, TryIntoDType,
};
use tokio::sync::Mutex;

use crate::{
    error::{LoadError, refused},
    folder::{self, Folder},
    options::Options,
    stand_in::StandIn,
};

/// How often what was loaded is started, if that fails.
const ATTEMPTS: usize = 5;

/// Where the weights are.
pub(crate) enum Weights {
    Gguf(PathBuf),
    Folder(Folder),
}

/// Has mistralrs load a model.
///
/// # Errors
/// It refuses it.
pub(crate) fn load(
    weights: &Weights,
    options: &Options,
    isq: Option<IsqType>,
    stand_in: &StandIn,
    slots: usize,
) -> Result<Arc<MistralRs>, LoadError> {
    let device = options.device.open()?;
    // On a CPU candle computes sums in the type of the activations; shorter ones are slower there and less exact.
    let (dtype, map): (&dyn TryIntoDType, _) = if options.device.is_accelerator() {
        (&ModelDType::Auto, DeviceMapSetting::Auto(AutoDeviceMapParams::default_text()))
    } else {
        (&mistralrs::DType::F32, DeviceMapSetting::dummy())
    };
    let loader = loader(weights, options, stand_in)?;
    let pipeline = match weights {
        Weights::Folder(Folder { uqff: Some(_), .. }) => {
            loader.load_model_from_hf(None, TokenSource::None, dtype, &device, true, map, None, None)
        }
        _ => {
            let paths = paths(weights, options, stand_in)?;
            loader.load_model_from_path(&paths, dtype, &device, true, map, isq, None)
        }
    }
    .map_err(|error| refused(&format!("{error:#}")))?;
    let slots = slots.try_into().map_err(|_| refused("no sequences"))?;
    let method = SchedulerConfig::DefaultScheduler { method: DefaultSchedulerMethod::Fixed(slots) };
    for _ in 1..ATTEMPTS {
        if let Ok(started) = catch_unwind(AssertUnwindSafe(|| start(&pipeline, &method))) {
            return started;
        }
        // Until who has it has let go of it.
        drop(pipeline.blocking_lock());
    }
    start(&pipeline, &method)
}

/// Starts the threads that compute with what was loaded. They take it at once, and mistralrs, which looks at it once more by
/// then, does not wait for it but panics: about once in a thousand times.
fn start(
    pipeline: &Arc<Mutex<dyn Pipeline + Send + Sync>>,
    method: &SchedulerConfig,
) -> Result<Arc<MistralRs>, LoadError> {
    let builder = MistralRsBuilder::new(pipeline.clone(), method.clone(), false, None).with_no_prefix_cache(true);
    // A runtime of one thread, on which it does without a first request that nobody made.
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(LoadError::System)?;
    Ok(runtime.block_on(builder.build()))
}

fn loader(weights: &Weights, options: &Options, stand_in: &StandIn) -> Result<Box<dyn Loader>, LoadError> {
    match weights {
        Weights::Gguf(path) => {
            let builder = GGUFLoaderBuilder::new(
                None,
                None,
                text(path.parent().unwrap_or(path)),
                vec![text(path)],
                GGUFSpecificConfig::default(),
                false,
                None,
            );
            Ok(builder.build())
        }
        // With and without pictures.
        Weights::Folder(folder) if folder.is_gemma3() => {
            let builder = MultimodalLoaderBuilder::new(
                MultimodalSpecificConfig::default(),
                Some(text(&stand_in.template())),
                Some(text(&stand_in.tokenizer())),
                Some(text(&folder.path)),
                None,
            );
            Ok(builder.build(Some(MultimodalLoaderType::Gemma3)))
        }
        Weights::Folder(folder) => {
            let config = NormalSpecificConfig {
                from_uqff: folder.uqff.as_ref().map(|file| vec![file.clone()]),
                ..NormalSpecificConfig::default()
            };
            let mut builder = NormalLoaderBuilder::new(
                config,
                Some(text(&stand_in.template())),
                Some(text(&stand_in.tokenizer())),
                Some(text(&folder.path)),
                false,
                None,
            );
            if !options.adapters.is_empty() {
                builder = builder.with_lora(options.adapters.iter().map(|adapter| text(adapter)).collect());
            }
            builder.build(None).map_err(|error| refused(&format!("{error:#}")))
        }
    }
}

/// Every file that mistralrs may read.
pub(crate) fn paths(
    weights: &Weights,
    options: &Options,
    stand_in: &StandIn,
) -> Result<Box<dyn ModelPaths>, LoadError> {
    let (config, filenames) = match weights {
        Weights::Gguf(path) => (PathBuf::new(), vec![path.clone()]),
        Weights::Folder(folder) => (folder.config_path(), folder.weights.clone()),
    };
    let adapter_paths = if options.adapters.is_empty() {
        AdapterPaths::None
    } else {
        AdapterPaths::Lora(options.adapters.iter().map(|path| folder::adapter(path)).collect::<Result<_, _>>()?)
    };
    Ok(Box::new(LocalModelPaths {
        tokenizer_filename: stand_in.tokenizer(),
        config_filename: config,
        template_filename: Some(stand_in.template()),
        filenames,
        adapter_paths,
        // What ends an answer is not mistralrs' to say.
        gen_conf: None,
        preprocessor_config: stand_in.optional("preprocessor_config.json"),
        processor_config: stand_in.optional("processor_config.json"),
        chat_template_json_filename: None,
    }))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
