//! `pointsman serve`: starts everything, says what it started, and serves until it is told to stop.

use std::{fmt::Write as _, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use ledger::{Ledger, Recovery};
use tokio::{
    net::TcpListener,
    signal::unix::SignalKind,
    sync::{oneshot, watch},
};

use crate::{
    accept::{self, Limits, Workers},
    anchors,
    config::{self, Access, Overrides, Target, Weights},
    evidence, fleet, index,
    instance::Instance,
    keys::last_use::Keeper,
    models::accepted,
    observe,
    quota::{self, book::Book},
    retention,
    runtime::{Gateway, Runtime, Source, UPKEEP},
    stack, subjects, tally,
};

/// Serve requests until told to stop
#[derive(Debug, Args)]
pub struct Serve {
    /// Configuration file; without one: loopback, the built-in demo model, and every host whose key is in the environment
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG")]
    pub config: Option<std::path::PathBuf>,
    /// Folder of models to serve beside, instead of the file's `local.models`: GGUF files and folders of safetensors
    #[arg(long, value_name = "DIR", env = "POINTSMAN_MODELS")]
    pub models: Option<std::path::PathBuf>,
    /// Address for clients, instead of the file's; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// Address for health, metrics and reload, instead of the file's; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<std::net::SocketAddr>,
    /// Folder of the ledger, instead of the file's
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<std::path::PathBuf>,
}

/// Runs the gateway.
///
/// # Errors
/// What kept it from starting: the report of a bad configuration, a busy address, a broken ledger or model file.
pub fn run(args: Serve) -> anyhow::Result<()> {
    observe::install_logs();
    let source = Source {
        file: args.config,
        overrides: Overrides { listen: args.listen, admin: args.admin, data_dir: args.data_dir, models: args.models },
    };
    let (config, warnings) = source.load()?;
    if !warnings.diagnostics.is_empty() {
        eprintln!("{}", warnings.render(false).trim_end());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let workers = Workers::start().context("the threads that serve connections cannot be started")?;
    let (ledger, instance, spent) = runtime.block_on(serve(source, config, &workers))?;
    // Requests that outlived the drain end here and record it, before the ledger closes.
    workers.stop();
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    instance.stop();
    spent.close().context("what was spent could not be written; the next start takes for spent what was set aside")?;
    ledger.close().context("the ledger could not be closed cleanly")
}

/// Serves until told to stop; the ledger and the book of what was spent are still open then.
async fn serve(
    source: Source,
    config: config::Config,
    workers: &Workers,
) -> anyhow::Result<(Ledger, Arc<Instance>, Arc<Book>)> {
    let metrics = observe::install_metrics()?;
    let client = remote::Client::new(&remote::ClientOptions {
        proxies: remote::Proxies::environment(),
        ..remote::ClientOptions::default()
    })?;
    let folder = config::ledger_folder(&config.data_dir);
    let witnesses = config.ledger.witnesses.iter().map(|witness| witness.key.to_string()).collect();
    let options = ledger::Options { witnesses, ml_dsa: config.ledger.ml_dsa, ..ledger::Options::default() };
    let (ledger, recovery) = Ledger::open(&folder, options)
        .with_context(|| format!("the ledger in `{}` cannot be opened", config.data_dir.display()))?;
    let listener = bind(config.listen, "listen").await?;
    let admin = bind(config.admin, "admin").await?;
    let limits = Limits {
        connections: config.limits.connections,
        header_timeout: config.limits.header_timeout,
        header_bytes: config.limits.header_bytes,
        drain_timeout: config.limits.drain_timeout,
    };
    let runtime = Runtime::start(config, &client, None)?;
    let block = started(&runtime, listener.local_addr()?, admin.local_addr()?, &recovery);
    let instance = Instance::start(ledger.clone(), &folder, &recovery)?;
    instance.activate(&runtime.config, None)?;
    let gateway = Arc::new(Gateway::new(source, client, runtime, (ledger, instance), metrics));

    let (stop, stopped) = watch::channel(false);
    tokio::spawn(upkeep(Arc::clone(&gateway)));
    let instance = Arc::clone(&gateway.instance);
    tokio::spawn(async move { instance.beat().await });
    tokio::spawn(anchors::tell_all(Arc::clone(&gateway)));
    tokio::spawn(retention::keep_to(Arc::clone(&gateway)));
    tokio::spawn(tally::keep(Arc::clone(&gateway)));
    tokio::spawn(subjects::follow(Arc::clone(&gateway)));
    tokio::spawn(accepted::follow(Arc::clone(&gateway)));
    tokio::spawn(evidence::look_at_all(Arc::clone(&gateway)));
    tokio::spawn(index::keep_up(Arc::clone(&gateway)));
    let joined = fleet::join(&gateway)?;
    let quotas = &gateway.runtime().quotas;
    if !quotas.book().is_shared() {
        tokio::spawn(Arc::clone(quotas.book()).keep());
    }
    if let Some(alerts) = quotas.alerts() {
        tokio::spawn(quota::alert::tell_all(Arc::clone(&gateway), alerts));
    }
    let (drained, over) = oneshot::channel();
    let uses = tokio::spawn(Keeper::resume(&gateway).run(over));
    match gateway.batches.resume(&gateway) {
        Ok(0) => {}
        Ok(resumed) => tracing::info!(resumed, "batches go on where they were"),
        Err(error) => tracing::error!(%error, "the batches of before cannot be read; they stand still"),
    }
    tokio::spawn(reloads(Arc::clone(&gateway)));
    tokio::spawn(async move {
        terminated().await;
        tracing::info!("stopping: no new requests, running ones may end");
        let _ = stop.send(true);
    });
    // Printed only now: whoever reads it may connect.
    print!("{block}");

    let clients = {
        let gateway = Arc::clone(&gateway);
        tower::service_fn(move |request| stack::client(Arc::clone(&gateway), request))
    };
    let admins = {
        let gateway = Arc::clone(&gateway);
        tower::service_fn(move |request| stack::admin(Arc::clone(&gateway), request))
    };
    let here = Workers::here();
    tokio::join!(
        accept::serve(listener, clients, limits, workers, when(stopped.clone())),
        accept::serve(admin, admins, limits, &here, when(stopped))
    );
    // The last uses of keys are written once more.
    drop(drained);
    let _ = uses.await;
    joined.leave(&gateway).await;
    tally::record(&gateway.runtime(), &gateway.instance).await;
    Ok((gateway.ledger.clone(), Arc::clone(&gateway.instance), Arc::clone(gateway.runtime().quotas.book())))
}

async fn bind(address: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("`{key}`: cannot listen on {address}; is another program there? choose another with --{key}")
    })
}

async fn when(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means the same as one that says stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// SIGTERM or SIGINT.
async fn terminated() {
    let mut term = signal(SignalKind::terminate());
    let mut int = signal(SignalKind::interrupt());
    tokio::select! {
        () = received(&mut term) => {}
        () = received(&mut int) => {}
    }
}

fn signal(kind: SignalKind) -> Option<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind).inspect_err(|error| tracing::warn!(%error, "a signal cannot be watched")).ok()
}

async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Reloads on SIGHUP and when a file changes.
async fn reloads(gateway: Arc<Gateway>) {
    let mut hangup = signal(SignalKind::hangup());
    let mut watched = gateway.runtime().config.watched.clone();
    let mut watch = watch(&watched);
    loop {
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = received(&mut hangup) => {}
            () = changed => {}
        }
        // A refusal is in the log and in the metrics.
        let _ = gateway.reload().await;
        let now = gateway.runtime().config.watched.clone();
        // Only a new configuration is watched anew: after a refusal the watch knows what it has told already.
        if now != watched {
            watch = self::watch(&now);
            watched = now;
        }
    }
}

fn watch(files: &[config::Watched]) -> Option<config::Watch> {
    config::watch(files)
        .inspect_err(|error| tracing::warn!(%error, "files cannot be watched; SIGHUP and POST /reload still work"))
        .ok()
}

async fn upkeep(gateway: Arc<Gateway>) {
    let mut every = tokio::time::interval(UPKEEP);
    loop {
        every.tick().await;
        gateway.metrics.run_upkeep();
        gateway.runtime().machine.tend();
        gateway.runtime().quotas.status().iter().for_each(observe::quota);
        observe::ledger_healthy(gateway.ledger.status().failure.is_none());
    }
}

/// What a person wants to know once it runs.
fn started(
    runtime: &Runtime,
    clients: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    recovery: &Recovery,
) -> String {
    let config = &runtime.config;
    let mut text = String::new();
    let access = match &config.access {
        Access::Open(_) => "no key needed: loopback, no configuration file",
        Access::Keys(_) if !config.issuers.is_empty() => "a key, or a token of a configured issuer, is needed",
        Access::Keys(_) => "a key is needed: `pointsman keys new`",
    };
    let virtual_models = config.policies.virtual_models().collect::<Vec<_>>().join(", ");
    let cut = match recovery.bytes_cut {
        0 => String::new(),
        bytes => format!("; a torn tail of {bytes} bytes was cut"),
    };
    let _ = writeln!(text, "Pointsman {}\n", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(text, "  clients   http://{clients}/v1   ({access})");
    let _ = writeln!(text, "  admin     http://{admin}   (/health, /ready, /metrics, /quotas, POST /reload)");
    if config.file.is_none() {
        let _ = writeln!(text, "  licences  internal use by a company of {} is assumed", catalog::ASSUMED);
    }
    let _ = writeln!(
        text,
        "  config    {}",
        config.file.as_ref().map_or("built in".to_owned(), |file| file.display().to_string())
    );
    let _ = writeln!(text, "  routes    {virtual_models}");
    let _ = writeln!(text, "  data      {} (ledger: {} records{cut})", config.data_dir.display(), recovery.records);
    let _ = writeln!(
        text,
        "  cpu       {}, {} threads",
        kernels_name(),
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    let _ = writeln!(text, "\n  live");
    let width = config.deployments.iter().map(|deployment| deployment.facts.id.len()).max().unwrap_or(0);
    for deployment in &config.deployments {
        let place = match &deployment.target {
            Target::Engine { weights: Weights::BuiltIn, .. } => "in this process, built in".to_owned(),
            Target::Engine { engine, weights: Weights::File(path) | Weights::Folder(path), .. } => {
                format!("in this process by {engine}, {}", path.display())
            }
            Target::Remote { base_url, .. } => format!("at {base_url}"),
            Target::Fleet { replicas, .. } => format!("at {replicas}"),
        };
        let place = if deployment.keep.on_demand { format!("{place}, loaded on demand") } else { place };
        let _ = writeln!(text, "    {:width$}  {} {place}", deployment.facts.id, deployment.facts.model);
    }
    if !config.not_live.is_empty() {
        let _ = writeln!(text, "\n  not live");
        let width = config.not_live.iter().map(|one| one.name.len()).max().unwrap_or(0);
        for one in &config.not_live {
            let _ = writeln!(text, "    {:width$}  {}", one.name, one.why);
        }
    }
    let key = match &config.access {
        Access::Open(_) => "",
        Access::Keys(_) => " -H \"authorization: Bearer $POINTSMAN_KEY\"",
    };
    let _ = writeln!(
        text,
        "\n  try\n    curl -N http://{clients}/v1/chat/completions{key} -H 'content-type: application/json' \\\n      \
         -d '{{\"model\": \"auto\", \"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"Which licence has Llama 3.3 70B Instruct?\"}}]}}'\n"
    );
    text
}

/// The instruction set that local engines compute with.
fn kernels_name() -> &'static str {
    native::instruction_set()
}
