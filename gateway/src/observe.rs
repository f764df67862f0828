//! Metrics and logs: every name in one place.
//!
//! Metric names follow OpenTelemetry's GenAI conventions where those have one (they are still moving, hence this
//! table), and our own prefix for what only a router knows. Labels are bounded: deployments, models and codes of
//! the configuration, never a caller's text. Handles are made once a deployment, so a request records without a
//! look-up. Content, keys and callers' addresses are in no log line.

use std::{io::IsTerminal as _, sync::Once};

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::quota::Status;

const DURATION: &str = "gen_ai_server_request_duration_seconds";
const FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
const TOKENS: &str = "gen_ai_client_token_usage_total";
const ATTEMPTS: &str = "pointsman_attempts_total";
const RETRIES_REFUSED: &str = "pointsman_retries_refused_total";
const HEDGED: &str = "pointsman_hedged_total";
const DECISIONS: &str = "pointsman_decisions_total";
const OUTCOMES: &str = "pointsman_outcomes_total";
const REFUSED: &str = "pointsman_refused_requests_total";
const RELOADS: &str = "pointsman_reloads_total";
const WAITING: &str = "pointsman_waiting_requests";
const ALERTS: &str = "pointsman_policy_alerts_total";
const MIRRORED: &str = "pointsman_mirrored_requests_total";

const FLEET_STORE: &str = "pointsman_fleet_store_up";
const AGAIN: &str = "pointsman_answers_given_again_total";
const ANCHORED: &str = "pointsman_ledger_anchors_total";
const UNANCHORED: &str = "pointsman_ledger_unanchored_records";
const EVIDENCE: &str = "pointsman_evidence_looks_total";
const EVIDENCE_LOST: &str = "pointsman_evidence_lost";
const UNINDEXED: &str = "pointsman_ledger_unindexed_records";
const RESIDENT: &str = "pointsman_model_resident_bytes";
const LOADS: &str = "pointsman_model_loads_total";
const LOADING: &str = "pointsman_model_load_duration_seconds";
const UNLOADS: &str = "pointsman_model_unloads_total";
const BUDGET: &str = "pointsman_budget_usd";
const SPENT: &str = "pointsman_spent_usd";

/// Upper bounds of the latency histograms, in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Sets up metrics for this process and gives the handle that renders them.
///
/// # Errors
/// When another recorder is set already.
pub fn install_metrics() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .install_recorder()?;
    describe_histogram!(DURATION, "Time from a request's arrival to the end of its answer");
    describe_histogram!(FIRST_TOKEN, "Time from the start of the serving attempt to its first content");
    describe_counter!(TOKENS, "Tokens, by model and type (input, output, cached)");
    describe_counter!(ATTEMPTS, "Attempts at a deployment, by result (ok or the error's code)");
    describe_counter!(RETRIES_REFUSED, "Attempts beyond the first that the retry budget did not allow");
    describe_counter!(
        HEDGED,
        "Requests sent to a second candidate beside the first, by whether the second one answers"
    );
    describe_counter!(DECISIONS, "Plans made, by verdict");
    describe_counter!(OUTCOMES, "Requests ended, by status");
    describe_counter!(REFUSED, "Requests refused before a plan was made, by code");
    describe_counter!(RELOADS, "Configurations loaded again, by result");
    describe_gauge!(WAITING, "Requests that wait for a deployment to be available");
    describe_counter!(ALERTS, "Requests that a route did not take because its `when` was an error for them, by route");
    describe_counter!(MIRRORED, "Requests to be mirrored, by what came of it: sent, no_room or the plan's verdict");
    describe_gauge!(remote::ENDPOINTS, "Endpoints of a deployment with replicas");
    describe_gauge!(remote::EJECTED, "Those of them that keep failing and are left out for a while");
    describe_counter!(remote::DISCOVERY_FAILURES, "Looks for the replicas of a deployment that came to nothing");
    describe_counter!(AGAIN, "Requests that got the answer that another one was given before");
    describe_gauge!(RESIDENT, "Memory that the model of a deployment takes in this process, as estimated");
    describe_counter!(LOADS, "Times that a model was loaded into this process, by result");
    describe_histogram!(LOADING, "Time that loading it took");
    describe_counter!(UNLOADS, "Times that it was unloaded, by reason: room, idle, memory, died or removed");
    describe_gauge!(BUDGET, "What may be spent in the current period, by quota, whose it is, and period");
    describe_gauge!(SPENT, "What was spent of it, requests that run included");
    describe_gauge!(FLEET_STORE, "1 while a store that the gateways share can be asked, else 0");
    describe_counter!(ANCHORED, "Checkpoints that anchors and witnesses were told, by kind and result");
    describe_gauge!(UNANCHORED, "Records after the newest checkpoint that an anchor or witness has");
    describe_counter!(EVIDENCE, "Looks at pages that show what a licence asks for, by result");
    describe_gauge!(EVIDENCE_LOST, "Pages that do not show it any more, are other ones, or cannot be had");
    describe_gauge!(UNINDEXED, "Records that the index of the ledger does not have yet, as far as it was heard");
    describe_gauge!("pointsman_ledger_healthy", "1 while the ledger takes records, else 0");
    Ok(handle)
}

/// What is logged by default. The client of Kubernetes tells every try that fails, and discovery tells each reason once; the
/// engine on mistralrs tells each layer that it loads; llama.cpp warns of each answer that is given up, as it is when its caller is
/// gone.
const LOGGED: &str = "info,kube_client=off,kube_runtime=off,candle_core=warn,candle_nn=warn,llama-cpp-2=error,mistralrs=warn,\
                      mistralrs_core=warn,mistralrs_quant=warn,mistralrs_vision=warn,mistralrs_audio=warn";

/// Logs to standard error; `RUST_LOG` chooses what, `info` by default, and `POINTSMAN_LOG=json` how.
pub fn install_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| LOGGED.into());
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false);
        if std::env::var("POINTSMAN_LOG").is_ok_and(|format| format == "json") {
            logs.json().init();
        } else {
            logs.init();
        }
    });
}

/// The metrics of one deployment.
#[derive(Clone)]
pub struct Series {
    duration: Histogram,
    first_token: Histogram,
    input: Counter,
    output: Counter,
    cached: Counter,
    completed: Counter,
}

impl Series {
    /// Handles for a deployment of a model.
    pub fn new(deployment: &str, model: &str) -> Self {
        let labels = [("deployment", deployment.to_owned()), ("gen_ai_response_model", model.to_owned())];
        let tokens = |kind: &'static str| counter!(TOKENS, "deployment" => deployment.to_owned(), "gen_ai_response_model" => model.to_owned(), "gen_ai_token_type" => kind);
        Self {
            duration: histogram!(DURATION, &labels),
            first_token: histogram!(FIRST_TOKEN, &labels),
            input: tokens("input"),
            output: tokens("output"),
            cached: tokens("cached"),
            completed: counter!(ATTEMPTS, "deployment" => deployment.to_owned(), "result" => "ok"),
        }
    }

    /// An answer is whole; `first_token` is known of streamed ones.
    pub fn completed(
        &self,
        usage: backends::Usage,
        first_token: Option<std::time::Duration>,
        total: std::time::Duration,
    ) {
        self.completed.increment(1);
        self.input.increment(usage.prompt_tokens);
        self.output.increment(usage.completion_tokens);
        self.cached.increment(usage.cached_tokens);
        if let Some(first_token) = first_token {
            self.first_token.record(first_token.as_secs_f64());
        }
        self.duration.record(total.as_secs_f64());
    }
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Series")
    }
}

/// An attempt failed.
pub fn attempt_failed(deployment: &str, code: &'static str) {
    counter!(ATTEMPTS, "deployment" => deployment.to_owned(), "result" => code).increment(1);
}

/// An attempt beyond the first was left out, since the retry budget is used up.
pub fn retry_refused() {
    counter!(RETRIES_REFUSED).increment(1);
}

/// A second candidate was asked beside one that had not begun to answer; whether that one answers.
pub fn hedged(won: bool) {
    counter!(HEDGED, "won" => if won { "yes" } else { "no" }).increment(1);
}

/// A plan was made.
pub fn decided(verdict: &'static str) {
    counter!(DECISIONS, "verdict" => verdict).increment(1);
}

/// A request ended.
pub fn ended(status: &'static str) {
    counter!(OUTCOMES, "status" => status).increment(1);
}

/// A request was refused before a plan was made.
pub fn refused(code: &str) {
    counter!(REFUSED, "code" => code.to_owned()).increment(1);
}

/// So many more requests wait.
pub fn waiting(more: f64) {
    metrics::gauge!(WAITING).increment(more);
}

/// A route's expression was an error for a request.
pub fn policy_alert(route: &str) {
    counter!(ALERTS, "route" => route.to_owned()).increment(1);
}

/// A request was to be mirrored.
pub fn mirrored(result: &'static str) {
    counter!(MIRRORED, "result" => result).increment(1);
}

/// A configuration was loaded again, or was not.
pub fn reloaded(ok: bool) {
    counter!(RELOADS, "result" => if ok { "ok" } else { "rejected" }).increment(1);
}

/// A request got the answer of another.
pub fn answered_again() {
    counter!(AGAIN).increment(1);
}

/// A model takes so much of the memory of this process.
pub fn resident(deployment: &str, bytes: u64) {
    metrics::gauge!(RESIDENT, "deployment" => deployment.to_owned()).set(bytes as f64);
}

/// A model was loaded, or could not be, in this time.
pub fn loaded(deployment: &str, ok: bool, took: std::time::Duration) {
    let result = if ok { "ok" } else { "failed" };
    counter!(LOADS, "deployment" => deployment.to_owned(), "result" => result).increment(1);
    histogram!(LOADING, "deployment" => deployment.to_owned()).record(took.as_secs_f64());
}

/// A model was unloaded.
pub fn unloaded(deployment: &str, why: &'static str) {
    counter!(UNLOADS, "deployment" => deployment.to_owned(), "reason" => why).increment(1);
}

/// What was spent of the budgets of a quota.
pub fn quota(status: &Status) {
    for spending in &status.budgets {
        let quota = if status.of_team { format!("team {}", status.quota) } else { status.quota.clone() };
        let labels =
            [("quota", quota), ("subject", status.subject.clone()), ("every", spending.every.as_str().to_owned())];
        metrics::gauge!(BUDGET, &labels).set(spending.budget_usd);
        metrics::gauge!(SPENT, &labels).set(spending.spent_usd);
    }
}

/// A store of the fleet can be asked, or cannot.
pub fn fleet_store(store: &'static str, heard: bool) {
    metrics::gauge!(FLEET_STORE, "store" => store).set(if heard { 1.0 } else { 0.0 });
}

/// Somebody outside was told of a checkpoint, or could not be.
pub fn anchored(kind: &'static str, ok: bool) {
    counter!(ANCHORED, "kind" => kind, "result" => if ok { "ok" } else { "failed" }).increment(1);
}

/// How many records are after the newest checkpoint that somebody outside has.
pub fn unanchored(records: u64) {
    metrics::gauge!(UNANCHORED).set(records as f64);
}

/// A page was looked at that shows what a licence asks for.
pub fn evidence_looked(result: &'static str) {
    counter!(EVIDENCE, "result" => result).increment(1);
}

/// How many such pages are not as the catalog says.
pub fn evidence_lost(pages: usize) {
    metrics::gauge!(EVIDENCE_LOST).set(pages as f64);
}

/// How many records the index of the ledger does not have yet.
pub fn unindexed(records: u64) {
    metrics::gauge!(UNINDEXED).set(records as f64);
}

/// The ledger takes records, or does not.
pub fn ledger_healthy(healthy: bool) {
    metrics::gauge!("pointsman_ledger_healthy").set(if healthy { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Where lines of a log go.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_default_log_has_what_fails_in_llama_cpp_and_not_what_it_warns_of() {
        let lines = Lines::default();
        let to = lines.clone();
        let logs = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(LOGGED))
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(logs, || {
            tracing::warn!(target: "llama-cpp-2", "decode: aborted");
            tracing::error!(target: "llama-cpp-2", "cannot load");
            tracing::info!("serving");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("cannot load") && text.contains("serving") && !text.contains("aborted"), "{text}");
    }
}
