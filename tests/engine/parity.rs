//! The same requests to every engine in this process: what each keeps of what the native engine does, as a table.
//!
//! The table stands in the README; `UPDATE_TABLE=1` writes it anew. A check that an engine stops to pass, or starts to,
//! changes the table, and the test says so.

use std::{collections::BTreeMap, future::Future, path::Path, sync::Arc, time::Duration};

use backends::{
    Api, Backend, BackendError, BackendId, Event, FinishReason, Form, Input, Message, Part, Payload, Probe, Prompt,
    Request, Sampling, Shape, TokenLogprob, Tool, ToolChoice, Tools, Usage,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use engine::testing::{self, Llama, Vocabulary};
use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};

use crate::{demo, pictures as seeing};

/// How long a check waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(600);
/// How far log-probabilities of two engines may be apart: both round activations to eight bits, each in its own way.
const APART: f32 = 0.1;

type Engine = Arc<dyn Backend>;
type Checked = Result<(), String>;
type Loads = fn(&Path) -> Engine;

/// An engine's name in a configuration, how it loads a file, and how the folder of a model that reads pictures.
const ENGINES: [(&str, Loads, Loads); 3] = [
    ("native", native_file, |folder| native_file(&folder.join("model.gguf"))),
    (
        "llama-cpp",
        |path| {
            let options = llama_cpp_engine::Options::default();
            Arc::new(llama_cpp_engine::load(BackendId::new("llama-cpp"), path, &options).expect("a model"))
        },
        seeing::llama_cpp,
    ),
    (
        "mistralrs",
        |path| {
            let options = mistralrs_engine::Options::default();
            Arc::new(mistralrs_engine::load(BackendId::new("mistralrs"), path, options).expect("a model"))
        },
        seeing::mistralrs,
    ),
];

fn native_file(path: &Path) -> Engine {
    let source = native::Source::File(path.to_owned());
    Arc::new(native::load(BackendId::new("native"), source, native::Options::default()).expect("a model"))
}

/// What an answer was.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answer {
    text: String,
    logprobs: Vec<TokenLogprob>,
    calls: Vec<(String, String)>,
    finish: Option<FinishReason>,
    usage: Usage,
}

fn request(api: Api, input: Input) -> Request {
    Request {
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        max_tokens: Some(40),
        stream: true,
        include_usage: true,
        ..Request::new("r", api, Payload::new(r#"{"model":"m"}"#.into()).expect("JSON"), input)
    }
}

fn chat(text: &str) -> Request {
    let message = Message { role: "user".into(), content: vec![Part::Text(text.into())], ..Message::default() };
    request(Api::Chat, Input::Chat { messages: vec![message], tools: None, template_kwargs: None })
}

fn prompt(text: &str) -> Request {
    request(Api::Completions, Input::Prompts(vec![Prompt::Text(text.into())]))
}

async fn answer(engine: &Engine, request: Request) -> Result<Answer, String> {
    let told = |error: BackendError| error.to_string();
    let events = engine.generate(Arc::new(request)).await.map_err(told)?;
    let events = tokio::time::timeout(PATIENCE, events.collect::<Vec<_>>()).await;
    let mut answer = Answer::default();
    for event in events.map_err(|_| "it did not end".to_owned())? {
        match event.map_err(told)? {
            Event::Delta(delta) => {
                answer.text += &delta.text;
                answer.logprobs.extend(delta.logprobs);
                for call in delta.calls {
                    answer.calls.extend(call.begins.map(|(_, name)| (name, String::new())));
                    if let Some((_, arguments)) = answer.calls.last_mut() {
                        *arguments += &call.arguments;
                    }
                }
            }
            Event::Finish { reason, .. } => answer.finish = Some(reason),
            Event::Usage(usage) => answer.usage = usage,
            other => return Err(format!("an engine in this process does not send {other:?}")),
        }
    }
    Ok(answer)
}

const QUESTIONS: [&str; 5] = [
    "Which licence has Llama 3.3 70B Instruct?",
    "Who made you?",
    "May a company of any size sell what Mistral Large 2 says?",
    "Hello!",
    "2 + 2?",
];

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Checked {
    if found == expected { Ok(()) } else { Err(format!("{found:?}, and native says {expected:?}")) }
}

/// Engines with the demo model, with a small random one of single bytes and words, and with one that reads pictures; native ones
/// to compare with.
struct Pair {
    demo: Engine,
    random: Engine,
    sees: Engine,
}

async fn greedy_text(it: &Pair, native: &Pair) -> Checked {
    for question in QUESTIONS {
        same(&answer(&it.demo, chat(question)).await?.text, &answer(&native.demo, chat(question)).await?.text)?;
    }
    for text in ["the", "hello a", ""] {
        same(&answer(&it.random, prompt(text)).await?.text, &answer(&native.random, prompt(text)).await?.text)?;
    }
    Ok(())
}

async fn usage(it: &Pair, native: &Pair) -> Checked {
    for question in QUESTIONS {
        let (found, expected) = (answer(&it.demo, chat(question)).await?, answer(&native.demo, chat(question)).await?);
        let counts = |usage: Usage| (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens);
        same(&(counts(found.usage), found.finish), &(counts(expected.usage), expected.finish))?;
    }
    Ok(())
}

async fn stop_sequences(it: &Pair, _: &Pair) -> Checked {
    let whole = answer(&it.demo, chat(QUESTIONS[0])).await?.text;
    let stop: String = whole.chars().skip(8).take(4).collect();
    let stopped = answer(&it.demo, Request { stop: vec![stop.clone()], ..chat(QUESTIONS[0]) }).await?;
    let expected = whole.split(&stop).next().unwrap_or_default();
    same(&(stopped.text.as_str(), stopped.finish), &(expected, Some(FinishReason::Stop)))
}

async fn logprobs(it: &Pair, native: &Pair) -> Checked {
    for (engine, other, request) in
        [(&it.demo, &native.demo, chat(QUESTIONS[1])), (&it.random, &native.random, prompt("the model"))]
    {
        let request = Request { logprobs: Some(3), max_tokens: Some(12), ..request };
        near(&answer(engine, request.clone()).await?.logprobs, &answer(other, request).await?.logprobs)?;
    }
    Ok(())
}

/// Whether log-probabilities are those of others, but for rounding.
fn near(found: &[TokenLogprob], expected: &[TokenLogprob]) -> Checked {
    same(&found.len(), &expected.len())?;
    for (found, expected) in found.iter().zip(expected) {
        let (a, b) = (&found.chosen, &expected.chosen);
        same(&(a.id, a.logprob.is_some()), &(b.id, b.logprob.is_some()))?;
        if let (Some(a), Some(b)) = (a.logprob, b.logprob)
            && (a - b).abs() > APART
        {
            return Err(format!("log-probability {a}, and native says {b}"));
        }
    }
    Ok(())
}

async fn prompt_logprobs(it: &Pair, native: &Pair) -> Checked {
    let scored = |text| Request { logprobs: Some(0), max_tokens: Some(0), echo: true, ..prompt(text) };
    for text in ["the model is", "hello a licence"] {
        near(&answer(&it.random, scored(text)).await?.logprobs, &answer(&native.random, scored(text)).await?.logprobs)?;
    }
    Ok(())
}

async fn seeds(it: &Pair, _: &Pair) -> Checked {
    let seeded = |seed| Request { sampling: Sampling { seed: Some(seed), ..Sampling::default() }, ..chat("Hello!") };
    let first = answer(&it.random, Request { max_tokens: Some(60), ..seeded(1) }).await?.text;
    same(&answer(&it.random, Request { max_tokens: Some(60), ..seeded(1) }).await?.text, &first)?;
    let other = answer(&it.random, Request { max_tokens: Some(60), ..seeded(2) }).await?.text;
    if other == first { Err("another seed changes nothing".to_owned()) } else { Ok(()) }
}

async fn cancelling(it: &Pair, _: &Pair) -> Checked {
    for read in [0, 1, 3] {
        let mut events = it
            .random
            .generate(Arc::new(Request { max_tokens: None, ..chat("Hello!") }))
            .await
            .map_err(|e| e.to_string())?;
        for _ in 0..read {
            events.next().await;
        }
        drop(events);
        let idle = async {
            while !it.random.load(&Probe::default()).is_idle() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.map_err(|_| "it works on for nobody".to_owned())?;
    }
    Ok(())
}

async fn thirty_two_at_once(it: &Pair, _: &Pair) -> Checked {
    let mut alone = BTreeMap::new();
    for question in QUESTIONS {
        alone.insert(question, answer(&it.demo, chat(question)).await?.text);
    }
    let asked = (0..32).map(|i| QUESTIONS[i % QUESTIONS.len()]);
    let together = join_all(asked.clone().map(|question| answer(&it.demo, chat(question)))).await;
    for (question, answer) in asked.zip(together) {
        same(&answer?.text, &alone[question])?;
    }
    Ok(())
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"licence": {"enum": ["mit", "apache-2.0"]}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["licence", "n"], "additionalProperties": false})
}

async fn json_of_a_schema(it: &Pair, _: &Pair) -> Checked {
    let form = Form::JsonSchema { schema: schema().to_string(), strict: true };
    for engine in [&it.demo, &it.random] {
        let shape = Some(Shape { field: "response_format", form: form.clone() });
        let text = answer(engine, Request { shape, max_tokens: Some(100), ..chat(QUESTIONS[0]) }).await?.text;
        valid(&text)?;
    }
    Ok(())
}

fn valid(text: &str) -> Checked {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("`{text}` is no JSON: {error}"))?;
    if jsonschema::is_valid(&schema(), &value) { Ok(()) } else { Err(format!("`{text}` is not of the schema")) }
}

async fn tool_calls(it: &Pair, _: &Pair) -> Checked {
    let tool = Tool::Function { name: "look_up".into(), description: None, parameters: Some(schema().to_string()) };
    let tools = Tools { offered: vec![tool], choice: ToolChoice::Required, parallel: false };
    let Input::Chat { messages, .. } = chat(QUESTIONS[0]).input else { return Err("no chat".to_owned()) };
    let input = Input::Chat { messages, tools: Some("[]".into()), template_kwargs: None };
    let answer = answer(&it.demo, Request { tools, max_tokens: Some(200), ..request(Api::Chat, input) }).await?;
    same(&answer.finish, &Some(FinishReason::ToolCalls))?;
    let [(name, arguments)] = &answer.calls[..] else { return Err(format!("calls {:?}", answer.calls)) };
    same(&name.as_str(), &"look_up")?;
    valid(arguments)
}

async fn prefix_reuse(it: &Pair, _: &Pair) -> Checked {
    let long = "the licence of the model is ".repeat(8);
    answer(&it.random, prompt(&long)).await?;
    match answer(&it.random, prompt(&format!("{long} on"))).await?.usage.cached_tokens {
        0 => Err("no token of the prompt was held".to_owned()),
        _ => Ok(()),
    }
}

async fn pictures(it: &Pair, _: &Pair) -> Checked {
    let seen = async |number: u32| {
        let mut request = chat("What is this?");
        let Input::Chat { messages, .. } = &mut request.input else { return Err("no chat".to_owned()) };
        let url = format!("\"data:image/png;base64,{}\"", BASE64_STANDARD.encode(testing::picture(40, 30, number)));
        let picture = Part::Other { kind: "image_url".into(), digest: number.into(), held: Some(url.into()) };
        messages[0].content.insert(0, picture);
        request.logprobs = Some(0);
        answer(&it.sees, request).await
    };
    let (one, other) = (seen(1).await?, seen(2).await?);
    if one.logprobs == other.logprobs {
        return Err("two pictures are the same to it".to_owned());
    }
    Ok(())
}

/// What is checked, in the table's words.
type Check = for<'a> fn(&'a Pair, &'a Pair) -> std::pin::Pin<Box<dyn Future<Output = Checked> + 'a>>;
const CHECKS: [(&str, Check); 12] = [
    ("greedy text is native's", |it, native| Box::pin(greedy_text(it, native))),
    ("usage is native's", |it, native| Box::pin(usage(it, native))),
    ("stop sequences", |it, native| Box::pin(stop_sequences(it, native))),
    ("log-probabilities", |it, native| Box::pin(logprobs(it, native))),
    ("log-probabilities of the prompt", |it, native| Box::pin(prompt_logprobs(it, native))),
    ("seeds", |it, native| Box::pin(seeds(it, native))),
    ("cancelling frees the engine", |it, native| Box::pin(cancelling(it, native))),
    ("32 at once, each as alone", |it, native| Box::pin(thirty_two_at_once(it, native))),
    ("JSON of a schema", |it, native| Box::pin(json_of_a_schema(it, native))),
    ("forced tool calls", |it, native| Box::pin(tool_calls(it, native))),
    ("prefixes are reused, and told", |it, native| Box::pin(prefix_reuse(it, native))),
    ("pictures", |it, native| Box::pin(pictures(it, native))),
];

/// Where the table stands.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const BEGINS: &str =
    "<!-- Made of the tests: UPDATE_TABLE=1 cargo test -p tests --features engines --test engine -->\n";
const ENDS: &str = "<!-- The end of what is made of the engines' tests -->";

#[tokio::test]
async fn every_engine_keeps_what_the_table_says_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let random = folder.path().join("random.gguf");
    // A wide vocabulary of bytes, so that characters come in parts.
    let model = Llama { vocabulary: Vocabulary::Bpe, width: 64, feed_forward: 96, context: 512, ..Llama::default() };
    std::fs::write(&random, model.build()).expect("a file");
    let of_pictures = folder.path().join("sees");
    std::fs::create_dir(&of_pictures).expect("a folder");
    seeing::write(&of_pictures);
    let load = |(_, load, sees): (&str, Loads, Loads)| Pair {
        demo: load(&demo()),
        random: load(&random),
        sees: sees(&of_pictures),
    };
    let native = load(ENGINES[0]);
    let mut table = format!(
        "| | {} |\n|---|{}\n",
        ENGINES.map(|(name, ..)| format!("`{name}`")).join(" | "),
        "---|".repeat(ENGINES.len())
    );
    let pairs = ENGINES.map(|its| (its.0, load(its)));
    for (what, check) in CHECKS {
        let mut cells = Vec::new();
        for (name, pair) in &pairs {
            let checked = check(pair, &native).await;
            if let Err(why) = &checked {
                println!("{name}, {what}: {why}");
            }
            cells.push(if checked.is_ok() { "yes" } else { "no" });
        }
        table += &format!("| {what} | {} |\n", cells.join(" | "));
    }
    let readme = std::fs::read_to_string(README).expect("the README");
    let (before, rest) = readme.split_once(BEGINS).expect("a place for the table");
    let (found, after) = rest.split_once(ENDS).expect("its end");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(README, format!("{before}{BEGINS}{table}{ENDS}{after}")).expect("to write the README");
    } else {
        assert_eq!(found, table, "the README tells another table");
    }
}
