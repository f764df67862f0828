//! Where a prompt is cached, as far as a plan may depend on it.
//!
//! Of places elsewhere it is known who was sent the prompt before. A place in this process tells exactly what it has, but only
//! by its own tokens, and finding those takes longer than a plan. So it is asked only where it would make a difference: where
//! it contends for the first place of a plan with others, by what depends on how much is cached. What it has in the moment of
//! the plan may be gone when the request begins; nothing is kept for it.

use backends::{Prefix, Request};
use policies::{Candidate, Plan};

use crate::runtime::Runtime;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Cached<'a> {
    /// Which places elsewhere were sent it before.
    pub prefix: Option<&'a Prefix>,
    /// Of places in this process, by their number, how many of the prompt's tokens they have, as the gateway counts tokens.
    pub held: Vec<(usize, u32)>,
}

impl<'a> Cached<'a> {
    /// As others tell.
    pub fn told(prefix: Option<&'a Prefix>) -> Self {
        Self { prefix, held: Vec::new() }
    }

    /// Asks the places that contend for a plan's first place, and answers whether one of them has told anything: then the plan
    /// is to be made anew. `tokens` are those of the prompt.
    pub async fn ask(&mut self, runtime: &Runtime, plan: &Plan, request: &Request, tokens: u64) -> bool {
        for at in contenders(&plan.candidates).filter(|at| runtime.places[*at].local) {
            if let Some(held) = runtime.places[at].backend.held(request)
                && let Some(held) = held.await
            {
                self.held.push((at, held.among(tokens)));
            }
        }
        !self.held.is_empty()
    }
}

/// The places among which what is cached decides who comes first; none where that is settled.
fn contenders(candidates: &[Candidate]) -> impl Iterator<Item = usize> {
    let alike = candidates.iter().take_while(|one| settled(one) == settled(&candidates[0])).count();
    let contend = alike > 1 && candidates.first().is_some_and(depends);
    candidates[..if contend { alike } else { 0 }].iter().map(|candidate| candidate.deployment)
}

/// What goes before its score.
fn settled(candidate: &Candidate) -> (u16, bool, Option<u16>) {
    let score = &candidate.made_of;
    (score.stage, score.roomy, score.by_list.then_some(score.rank))
}

/// Whether its score depends on how much is cached there.
fn depends(candidate: &Candidate) -> bool {
    let score = &candidate.made_of;
    [score.cost, score.latency, score.cached_prefix].iter().any(|factor| factor.weight > 0.0)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use backends::{
        Api, Backend, BackendError, BackendId, BoxFuture, EventStream, Held, Input, Load, Payload, Probe, Prompt,
    };
    use policies::Facts;

    use super::*;
    use crate::{
        config::{Environment, Overrides, load},
        route::{plan, plan_again},
    };

    const CONFIG: &str = r#"
policies: [own.yaml]
discover: false
deployments:
  - {id: d0, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:9/v1"}
  - {id: d1, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:10/v1"}
  - {id: d2, model: qwen3-32b, server: vllm, base_url: "http://127.0.0.1:11/v1"}
contexts: {office: {use: internal, exposure: internal}}
teams: {everyone: {contexts: [office]}}
keys: keys.yaml
"#;

    /// A place in this process that has some of every prompt.
    #[derive(Debug)]
    struct Holding {
        id: BackendId,
        tokens: usize,
        asked: AtomicUsize,
    }

    impl Backend for Holding {
        fn id(&self) -> &BackendId {
            &self.id
        }

        fn load(&self, _: &Probe<'_>) -> Load {
            Load::IDLE
        }

        fn held<'a>(&'a self, _: &'a Request) -> Option<BoxFuture<'a, Option<Held>>> {
            self.asked.fetch_add(1, SeqCst);
            let held = Held { tokens: self.tokens, of: 200 };
            Some(Box::pin(async move { Some(held) }))
        }

        fn generate(&self, _: Arc<Request>) -> BoxFuture<'_, Result<EventStream, BackendError>> {
            Box::pin(async { Err(BackendError::Internal { reason: "nothing is sent here".into() }) })
        }
    }

    /// Where a request of 100 tokens goes by a route, and how often each place was asked; all but the last are in this process.
    async fn chosen(route: &str) -> (String, [usize; 3]) {
        let folder = tempfile::tempdir().unwrap();
        let policies = format!("version: 1\nroutes:\n  - {{name: r, match: {{model: auto}}, {route}}}\n");
        for (name, text) in [("pointsman.yaml", CONFIG), ("own.yaml", &policies), ("keys.yaml", "keys: []")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let file = folder.path().join("pointsman.yaml");
        let (config, _) =
            load(&file, &Overrides::default(), &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
        let client = remote::Client::new(&remote::ClientOptions::default()).unwrap();
        let mut runtime = Runtime::start(config, &client, None).unwrap();
        let mut places = Vec::new();
        for (at, place) in runtime.places.iter_mut().enumerate() {
            let id = place.backend.id().clone();
            let one = Arc::new(Holding { id, tokens: [20, 180, 190][at], asked: AtomicUsize::new(0) });
            place.backend = Arc::clone(&one) as Arc<dyn Backend>;
            place.local = at < 2;
            places.push(one);
        }
        let use_ = Arc::clone(&runtime.config.contexts["office"].use_);
        let mut facts = Facts { prompt_tokens: 100, ..Facts::new("auto", use_, "2026-11-27".parse().unwrap()) };
        let payload = Payload::new(r#"{"model": "auto"}"#.into()).unwrap();
        let request =
            Request::new("r", Api::Completions, payload, Input::Prompts(vec![Prompt::Text("Once".to_owned())]));
        let mut cached = Cached::default();
        let first = plan(&runtime, &mut facts, &cached);
        // No draw: none is explored.
        facts.draw = 0;
        let told = cached.ask(&runtime, &first, &request, 100).await;
        let asked = [0, 1, 2].map(|at| places[at].asked.load(SeqCst));
        assert_eq!(told, asked != [0; 3]);
        if told {
            // In the order of the plan.
            let mut held = cached.held.clone();
            held.sort_unstable();
            assert_eq!(held, [(0, 10), (1, 90)]);
        }
        let plan = plan_again(&runtime, &facts, &cached);
        (runtime.facts[plan.candidates[0].deployment].id.to_string(), asked)
    }

    #[tokio::test]
    async fn a_place_in_this_process_is_asked_what_it_has_where_that_decides_and_the_one_that_has_most_is_first() {
        assert_eq!(chosen("prefer: {cached_prefix: 1}, candidates: [any]").await, ("d1".to_owned(), [1, 1, 0]));
    }

    #[tokio::test]
    async fn nobody_is_asked_where_what_is_cached_decides_nothing() {
        assert_eq!(chosen("prefer: {quality: 1}, candidates: [any]").await.1, [0; 3]);
        assert_eq!(chosen("candidates: [d0, d1]").await, ("d0".to_owned(), [0; 3]));
    }
}
