//! A model that runs in this process, as the gateway sees it: requests in, events out.
//!
//! Requests are turned into tokens on the caller's side (long ones on a blocking thread), then handed to the one thread
//! that computes: `crate::scheduler` for a model that writes, [`crate::encoder`] for one that only reads.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{
    Api, Backend, BackendError, BackendId, BoxFuture, EventStream, Held, Input, Load, Probe, Prompt, Request, Tally,
    ToolChoice,
};
use futures_util::stream;
use tokio::sync::Semaphore;

use crate::{
    encoder::{self, Encoder, Makes},
    info::Info,
    pictures,
    prepare::Speech,
    scheduler::{Clock, Guesses, Holds, Scheduler, Worker},
    tokenizer::Tokenizer,
};

/// Choices that wait for each slot before the engine says that it is at capacity.
const QUEUED_PER_SLOT: usize = 16;
/// As many wait also for an engine that works on one or two at a time.
const MIN_QUEUED: usize = 64;
/// How long a step of the model should take, as far as prompts are concerned: for so long a caller who is gone costs work,
/// and an answer under way waits for its next token.
const STEP: Duration = Duration::from_millis(50);
/// Requests whose pictures are read at a time: they wait for each other on blocking threads, of which there are not endlessly
/// many.
const LOOKING: usize = 2;
/// Prompts beyond this many bytes are tokenized on a blocking thread.
const INLINE_BYTES: usize = 16 << 10;

/// A model that runs in this process.
pub struct Engine {
    id: BackendId,
    info: Info,
    speech: Arc<Speech>,
    work: Work,
    looking: Arc<Semaphore>,
    /// What it has computed before, where it can tell.
    holds: Option<Arc<dyn Holds>>,
}

/// Who computes.
enum Work {
    Writes(Scheduler),
    Reads(Encoder),
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?}, {})", self.id, self.info)
    }
}

impl Engine {
    /// Starts the thread that computes: `run` makes what it computes with and gives that to the worker.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        id: BackendId,
        info: Info,
        speech: Speech,
        run: impl FnOnce(Worker) + Send + 'static,
    ) -> io::Result<Self> {
        let speech = Arc::new(speech);
        let queued = (info.max_sequences * QUEUED_PER_SLOT).max(MIN_QUEUED) as u32;
        let name = format!("{} {id}", info.engine);
        let scheduler = Scheduler::start(
            &name,
            info.max_sequences,
            Arc::clone(&speech),
            queued,
            Some(STEP),
            Clock::default(),
            run,
        )?;
        Ok(Self::ready(id, info, speech, Work::Writes(scheduler)))
    }

    /// The same for a model that writes no text, but makes something of the texts that it is given.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start_encoder(
        id: BackendId,
        info: Info,
        speech: Speech,
        makes: Makes,
        run: impl FnOnce(encoder::Worker) + Send + 'static,
    ) -> io::Result<Self> {
        let encoder = Encoder::start(&format!("{} {id}", info.engine), makes, run)?;
        Ok(Self::ready(id, info, Arc::new(speech), Work::Reads(encoder)))
    }

    fn ready(id: BackendId, info: Info, speech: Arc<Speech>, work: Work) -> Self {
        tracing::info!(backend = %id, engine = info.engine, model = %info, "engine ready");
        Self { id, info, speech, work, looking: Arc::new(Semaphore::new(LOOKING)), holds: None }
    }

    /// The same where it can be asked what it has computed before.
    #[must_use]
    pub fn which_holds(self, holds: Arc<dyn Holds>) -> Self {
        Self { holds: Some(holds), ..self }
    }

    /// What it serves and with what.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// What was guessed of answers that were being written, and how much of it was right.
    pub fn guesses(&self) -> Guesses {
        match &self.work {
            Work::Writes(scheduler) => scheduler.guesses(),
            Work::Reads(_) => Guesses::default(),
        }
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.speech.tokenizer
    }
}

impl Backend for Engine {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn load(&self, _probe: &Probe<'_>) -> Load {
        match &self.work {
            Work::Writes(scheduler) => scheduler.load(),
            Work::Reads(encoder) => encoder.load(),
        }
    }

    fn held<'a>(&'a self, request: &'a Request) -> Option<BoxFuture<'a, Option<Held>>> {
        let holds = self.holds.as_ref().filter(|_| request.api.generates())?;
        Some(Box::pin(async move {
            let read = if text_bytes(&request.input) > INLINE_BYTES {
                let (speech, request) = (Arc::clone(&self.speech), request.clone());
                tokio::task::spawn_blocking(move || speech.read(&request)).await.ok()?
            } else {
                self.speech.read(request)
            }?;
            self.speech.keep(request, Arc::clone(&read));
            let prompt = &read.first()?.tokens;
            // Whose own probabilities are asked for is computed whole.
            let anew = request.echo && request.logprobs.is_some();
            let tokens = if anew { 0 } else { holds.held(prompt, request.cache_salt.as_deref()) };
            Some(Held { tokens, of: prompt.len() })
        }))
    }

    /// Requests that ended well; one whose caller left before counts nowhere.
    fn tally(&self) -> BoxFuture<'_, Vec<Tally>> {
        let source = format!("engine:{}", self.id.as_str());
        let tally = match &self.work {
            Work::Writes(scheduler) => scheduler.tally(source),
            Work::Reads(encoder) => encoder.tally(source),
        };
        Box::pin(std::future::ready(vec![tally]))
    }

    fn generate(&self, request: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(self.take(request, None))
    }

    fn generate_by(
        &self,
        request: Arc<Request>,
        begins_by: Instant,
    ) -> BoxFuture<'_, Result<EventStream, BackendError>> {
        Box::pin(self.take(request, Some(begins_by)))
    }
}

impl Engine {
    async fn take(&self, request: Arc<Request>, begins_by: Option<Instant>) -> Result<EventStream, BackendError> {
        match &self.work {
            Work::Writes(scheduler) if request.api.generates() => {
                let shown = pictures::are_in(&request.input);
                // Nobody closes it.
                let looks = if shown { Arc::clone(&self.looking).acquire_owned().await.ok() } else { None };
                let choices = if shown || text_bytes(&request.input) > INLINE_BYTES || compiles(&request) {
                    let speech = Arc::clone(&self.speech);
                    let prepare = move || {
                        let prepared = speech.prepare(&request, begins_by);
                        drop(looks);
                        prepared
                    };
                    let prepared = tokio::task::spawn_blocking(prepare).await;
                    prepared
                        .map_err(|_| BackendError::Internal { reason: "the prompt could not be tokenized".into() })??
                } else {
                    self.speech.prepare(&request, begins_by)?
                };
                scheduler.submit(choices)
            }
            Work::Reads(encoder) if !is_of_tokens(request.api) => encoder.take(&self.speech, request, begins_by).await,
            _ => {
                let speech = Arc::clone(&self.speech);
                let told = tokio::task::spawn_blocking(move || speech.tell(&request)).await;
                let told =
                    told.map_err(|_| BackendError::Internal { reason: "the text could not be read".into() })??;
                let events: EventStream = Box::pin(stream::once(async move { Ok(told) }));
                Ok(events)
            }
        }
    }
}

/// Whether a request needs a model's tokenizer and nothing else of it.
fn is_of_tokens(api: Api) -> bool {
    matches!(api, Api::Tokenize | Api::Detokenize | Api::TokenizerInfo)
}

/// Whether a grammar has to be compiled, which may take some tens of milliseconds.
fn compiles(request: &Request) -> bool {
    request.shape.is_some() || !matches!(request.tools.choice, ToolChoice::Auto | ToolChoice::None)
}

/// About how much there is to tokenize.
fn text_bytes(input: &Input) -> usize {
    match input {
        Input::Chat { messages, tools, .. } => {
            let texts = messages.iter().flat_map(|message| &message.content);
            let len = |part: &backends::Part| if let backends::Part::Text(text) = part { text.len() } else { 0 };
            texts.map(len).sum::<usize>() + tools.as_ref().map_or(0, String::len)
        }
        Input::Prompts(prompts) => {
            prompts.iter().map(|prompt| if let Prompt::Text(text) = prompt { text.len() } else { 0 }).sum()
        }
        _ => 0,
    }
}
