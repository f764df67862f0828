//! The native engine beside llama.cpp: prompt and answer tokens per second, by turns, in one process.
//!
//! `cargo run --release -p llama-cpp-engine --example beside_native -- [FILE.gguf | Q4_K_M | Q8_0 | Q4_0]... [--threads N]
//! [--after N] [--tier TIER]`
//!
//! A mix of types stands for random weights of it in the shape of Llama 3.2 1B; without any, all three are measured. With
//! `--after` one more answer follows a prompt of so many tokens, with native's keys and values as halves and as bytes, and with
//! llama.cpp at its better of flash attention on and off.
//! With `--tier` native uses no better instructions than those of a tier (`avx2`, `avx512`, ...).
//! llama.cpp is only as fast as it is built: set CMAKE_C_FLAGS and CMAKE_CXX_FLAGS to '-march=native -mno-amx-int8' for its build,
//! or it uses nothing beyond AVX2 (`.cargo/config.toml`). Each figure is the best of the rounds, as other load only ever
//! slows a round down. The last column is the share of what bounds a decode step: how often the threads could
//! have read the weights in that time, doing nothing else. `pointsman bench engines` compares whole engines; this one, what is
//! below their schedulers.

#![forbid(unsafe_code)]

use std::{
    fs::File as FileOnDisk,
    io::BufWriter,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Instant,
};

use engine::{
    CacheType, Start, Token,
    generate::{self, Mix, Shape},
    gguf::File,
};
use llama_cpp_2::{
    context::params::LlamaContextParams,
    llama_backend::LlamaBackend,
    llama_batch::LlamaBatch,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use native::{
    Isa,
    machine::Machine,
    model::{Limits, Model, Runner},
};

const ROUNDS: usize = 4;
const PROMPT: usize = 512;
const ANSWER: usize = 32;
/// What precedes the answers of several streams.
const START: usize = 16;
/// A beginning that two prompts have in common, and what each has of its own.
const SHARED: usize = 2_000;
const OWN: usize = 16;
/// How many streams write together.
const STREAMS: [usize; 3] = [1, 8, 16];

fn main() {
    let mut names = Vec::new();
    let (mut after, mut isa) = (0, Isa::best());
    let mut threads = thread::available_parallelism().expect("a number of cores").get();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().and_then(|n| n.parse().ok()).expect("a number of threads"),
            "--after" => after = arguments.next().and_then(|n| n.parse().ok()).expect("a number of tokens"),
            "--tier" => {
                let tier = arguments.next().expect("a tier").parse();
                isa = Isa::at_most(tier.unwrap_or_else(|error| panic!("{error}")));
            }
            _ => names.push(argument),
        }
    }
    if names.is_empty() {
        names = [Mix::Q4_K_M, Mix::Q8_0, Mix::Q4_0].map(|mix| mix.name().to_owned()).to_vec();
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in names {
        let (path, made) = match name.parse() {
            Ok(mix) => {
                let path = folder.path().join("random.gguf");
                let shape = Shape::named("llama-1b").expect("a shape");
                let file = BufWriter::new(FileOnDisk::create(&path).expect("a file"));
                generate::Model { shape, mix, seed: 1 }.write(file, |_, _| {}).expect("room for it");
                (path, true)
            }
            Err(_) => (PathBuf::from(&name), false),
        };
        compare(&name, &path, threads, after, isa);
        if made {
            std::fs::remove_file(path).expect("the file that was made");
        }
    }
}

fn compare(name: &str, path: &Path, threads: usize, after: usize, isa: Isa) {
    let file = File::open(path).expect("a file in order");
    let start = Instant::now();
    let model = Arc::new(Model::load(&file, threads).expect("a model that native reads"));
    println!(
        "{name}: {:.2} B parameters, {:.0} MB, packed in {:.1} s; {threads} threads; native on {}",
        model.parameters() as f64 / 1e9,
        file.size() as f64 / 1e6,
        start.elapsed().as_secs_f64(),
        isa.name()
    );
    let backend = llama_cpp_engine::backend().expect("llama.cpp starts");
    let theirs = LlamaModel::load_from_file(backend, path, &LlamaModelParams::default()).expect("a model");
    let context = (PROMPT + ANSWER).min(model.shape().context);
    let most = STREAMS.into_iter().max().unwrap_or(1);
    let limits = Limits { slots: most, context, threads, isa, cache: CacheType::F16 };
    let mut ours = Native(Runner::new(Arc::clone(&model), limits).expect("limits"));
    let mut rates = [[0.0f64; 2]; 5];
    // What is read at every token: all matrices, but for an embedding that is not the output too.
    let own_output = file.tensor("output.weight").is_some();
    let is_read = |name: &str| name != "token_embd.weight" || !own_output;
    let read = file.tensors().filter(|tensor| tensor.dims.len() > 1 && is_read(tensor.name));
    let bytes: usize = read.map(|tensor| tensor.data.len()).sum();
    let measured = || Machine::measure(isa, threads, bytes).expect("memory");
    let mut machine = measured();
    for _ in 0..ROUNDS {
        for (side, ours_now) in [true, false].into_iter().enumerate() {
            // Each side has a thread of its own to wait in: llama.cpp sets a thread's tiles once, native for each product.
            apart(|| {
                let mut bare;
                let steps: &mut dyn Steps = match ours_now {
                    true => &mut ours,
                    false => {
                        bare = Bare::new(backend, &theirs, context, most, threads, None);
                        &mut bare
                    }
                };
                let keep = |rate: &mut f64, found: f64| *rate = rate.max(found);
                keep(&mut rates[0][side], rate(PROMPT, || steps.prompt(0, PROMPT)));
                keep(&mut rates[1][side], rate(ANSWER, || (PROMPT..context).for_each(|at| steps.answers(1, at))));
                for (row, streams) in STREAMS.into_iter().enumerate() {
                    (0..streams).for_each(|slot| steps.prompt(slot, START));
                    let answers = || (START..START + ANSWER).for_each(|at| steps.answers(streams, at));
                    keep(&mut rates[2 + row][side], rate(streams * ANSWER, answers));
                }
            });
        }
        machine = machine.better(measured());
    }
    println!("  {:<24}{:>10}{:>12}{:>8}{:>10}", "tokens per second", "native", "llama.cpp", "ratio", "of memory");
    let names = [format!("prompt of {PROMPT}"), format!("answer after {PROMPT}")];
    let names = names.into_iter().chain(STREAMS.map(|streams| format!("{streams} streams after {START}")));
    for (row, (name, [ours, theirs])) in names.zip(rates).enumerate() {
        let share = ours * bytes as f64 / machine.bytes_per_second;
        let share = if row == 1 || row == 2 { format!("{share:>10.2}") } else { String::new() };
        println!("  {name:<24}{ours:>10.1}{theirs:>12.1}{:>8.2}{share}", ours / theirs);
    }
    println!("  a plain read of as much: {:.1} GB/s", machine.bytes_per_second / 1e9);
    drop(ours);
    println!(
        "  a prompt whose first {SHARED} tokens are held: {:.1} % of one that is computed",
        100.0 * apart(|| held(&model, limits))
    );
    if after > 0 {
        let ours = CacheType::ALL.map(|cache| {
            let limits = Limits { slots: 1, context: after + ANSWER, cache, ..limits };
            (cache, apart(|| far(&mut Native(Runner::new(Arc::clone(&model), limits).expect("limits")), after)))
        });
        let policies =
            [llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED, llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_ENABLED];
        let theirs = policies
            .map(|flash| far(&mut Bare::new(backend, &theirs, after + ANSWER, 1, threads, Some(flash)), after))
            .into_iter()
            .fold(0.0, f64::max);
        for (cache, ours) in ours {
            println!("  {:<24}{ours:>10.1}{theirs:>12.1}{:>8.2}", format!("after {after}, {cache}"), ours / theirs);
        }
    }
}

/// Tokens per second of an answer after a prompt of so many.
fn far(steps: &mut dyn Steps, after: usize) -> f64 {
    steps.prompt(0, after);
    rate(ANSWER, || (after..after + ANSWER).for_each(|at| steps.answers(1, at)))
}

/// How long a prompt takes of which an earlier one had all but the end, as a share of what the earlier one took.
fn held(model: &Arc<Model>, limits: Limits) -> f64 {
    let limits = Limits { slots: 1, context: SHARED + OWN, ..limits };
    let mut runner = Runner::new(Arc::clone(model), limits).expect("limits");
    let mut prompt = |own: usize| {
        let at = |position| id(if position < SHARED { 0 } else { own }, position);
        let prompt: Vec<u32> = (0..SHARED + OWN).map(at).collect();
        time(|| {
            let start = Start { slot: 0, prompt: &prompt, most: prompt.len(), salt: None, anew: false };
            let mut done = runner.begin(start).expect("nobody to wait for");
            while done < prompt.len() {
                let step = done..prompt.len().min(done + 128);
                let token =
                    |position| Token { slot: 0, position, id: prompt[position], logits: position + 1 == prompt.len() };
                runner.step(&step.clone().map(token).collect::<Vec<_>>());
                done = step.end;
            }
            runner.end(0);
        })
    };
    let computed = prompt(1);
    prompt(2) / computed
}

/// What work gives in a thread of its own.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join()).expect("no panic")
}

fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn rate(tokens: usize, work: impl FnOnce()) -> f64 {
    tokens as f64 / time(work)
}

/// What both sides do.
trait Steps {
    /// The first tokens of a stream.
    fn prompt(&mut self, stream: usize, len: usize);
    /// One token more for each of some streams.
    fn answers(&mut self, streams: usize, position: usize);
}

fn id(stream: usize, position: usize) -> u32 {
    5 + ((position * position * 31 + position * 17 + stream * 101) % 200) as u32
}

struct Native(Runner);

impl Steps for Native {
    fn prompt(&mut self, slot: usize, len: usize) {
        let token = |position| Token { slot, position, id: id(slot, position), logits: position + 1 == len };
        for first in (0..len).step_by(PROMPT) {
            self.0.step(&(first..len.min(first + PROMPT)).map(token).collect::<Vec<_>>());
        }
    }

    fn answers(&mut self, streams: usize, position: usize) {
        let token = |slot| Token { slot, position, id: id(slot, position), logits: true };
        self.0.step(&(0..streams).map(token).collect::<Vec<_>>());
    }
}

/// A bare loop over llama.cpp, as its own benchmarks have one.
struct Bare<'a> {
    context: llama_cpp_2::context::LlamaContext<'a>,
    batch: LlamaBatch<'a>,
}

impl<'a> Bare<'a> {
    fn new(
        backend: &LlamaBackend,
        model: &'a LlamaModel,
        len: usize,
        streams: usize,
        threads: usize,
        flash: Option<llama_cpp_sys_2::llama_flash_attn_type>,
    ) -> Self {
        let number = |number: usize| u32::try_from(number).expect("a small number");
        let threads = i32::try_from(threads).expect("a number of threads");
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(number(len * streams)))
            .with_n_seq_max(number(streams))
            .with_n_batch(2_048)
            .with_n_ubatch(512)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        let params = match flash {
            Some(flash) => params.with_flash_attention_policy(flash),
            None => params,
        };
        let context = model.new_context(backend, params).expect("llama.cpp gives a context");
        Bare { context, batch: LlamaBatch::new(PROMPT.max(streams), 1) }
    }

    fn add(&mut self, stream: usize, position: usize, logits: bool) {
        let number = |number: usize| i32::try_from(number).expect("a small number");
        let token = LlamaToken(number(id(stream, position) as usize));
        self.batch.add(token, number(position), &[number(stream)], logits).expect("room");
    }

    fn decode(&mut self) {
        self.context.decode(&mut self.batch).expect("llama.cpp computes the batch");
        self.context.synchronize();
        self.batch.clear();
    }
}

impl Steps for Bare<'_> {
    fn prompt(&mut self, stream: usize, len: usize) {
        let sequence = u32::try_from(stream).expect("a small number");
        self.context.clear_kv_cache_seq(Some(sequence), None, None).expect("a sequence that is forgotten");
        for first in (0..len).step_by(PROMPT) {
            (first..len.min(first + PROMPT)).for_each(|position| self.add(stream, position, position + 1 == len));
            self.decode();
        }
    }

    fn answers(&mut self, streams: usize, position: usize) {
        (0..streams).for_each(|stream| self.add(stream, position, true));
        self.decode();
    }
}
