//! Any text is a policy file or refused with problems that each have a place inside it; what compiles is planned for
//! several requests and its tests run; what can be laid out says the same afterwards.
//!
//! Give it the files of `config/policies/examples` and `tests/all/diagnostics` as its first inputs.

#![no_main]

mod world;

use catalog::{Date, Exposure, Purpose, Use};
use libfuzzer_sys::fuzz_target;
use policies::{Facts, Needs, PolicySet, Report, Snapshot, layout, run_tests};

use crate::world::{CATALOG, DEPLOYMENTS, compile, planned};

fuzz_target!(|text: &str| {
    let compiled = compile(text);
    let report = report(&compiled);
    for problem in &report.diagnostics {
        let span = &problem.span;
        assert!(text.get(span.clone()).is_some(), "{span:?} is not in the text: {problem}");
        assert!((1..=text.split('\n').count()).contains(&problem.line) && problem.column > 0, "{problem}");
    }
    if let Ok((policies, _)) = &compiled {
        let _ = plans(policies);
        run_tests(&snapshot(policies), today());
    }
    if let Ok(laid_out) = layout(text) {
        assert_eq!(layout(&laid_out).as_ref(), Ok(&laid_out), "a layout that has another");
        let again = compile(&laid_out);
        match (&compiled, &again) {
            (Ok((before, _)), Ok((after, _))) => assert_eq!(plans(before), plans(after), "{laid_out}"),
            (Err(_), Err(_)) => {}
            _ => panic!("{report}\nbecame\n{}\nin\n{laid_out}", self::report(&again)),
        }
    }
});

fn report(compiled: &Result<(PolicySet, Report), Report>) -> &Report {
    match compiled {
        Ok((_, report)) | Err(report) => report,
    }
}

fn snapshot(policies: &PolicySet) -> Snapshot<'_> {
    Snapshot { catalog: &CATALOG, policies, deployments: &DEPLOYMENTS, live: &[] }
}

/// The plans of requests that ask for every name that the policies give, and for some that they do not, as text.
fn plans(policies: &PolicySet) -> Vec<String> {
    let virtual_models = policies.virtual_models().take(8);
    let names = virtual_models.chain(["auto", "auto:cheap", "kanana-1.5-8b", "lab:fast", "mistral-large-2", ""]);
    let names: Vec<&str> = names.collect();
    let requests = names.iter().enumerate().map(|(at, name)| {
        let (purpose, exposure) = (Purpose::ALL[at % 4], Exposure::ALL[at % 2]);
        Facts {
            team: Some("support".to_owned()),
            language: ["en", "ko"].get(at % 3).map(|language| (*language).to_owned()),
            now: Some(1_795_600_000),
            prompt_tokens: 100 << at,
            needs: Needs { tools: at % 2 == 0, ..Needs::default() },
            ..Facts::new(*name, use_of(purpose, exposure), today())
        }
    });
    requests.map(|facts| format!("{:?}", planned(&facts, &snapshot(policies)))).collect()
}

/// A use of a company in Germany.
fn use_of(purpose: Purpose, exposure: Exposure) -> Use {
    Use { seat: Some("DE".to_owned()), entity: Some("acme".to_owned()), ..Use::new(purpose, exposure) }
}

/// The day of the requests, unless one says otherwise.
fn today() -> Date {
    "2026-11-25".parse().expect("a date")
}
