//! Reads a configuration file and everything that it names, and reports everything that is wrong with any of it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use catalog::Catalog;
use policies::{Declared, Diagnostic, PolicySet, Report};
use remote::Secret;
use sha2::{Digest, Sha256};

use super::{
    Access, Config, Contexts, Environment, Overrides, Role, Teams, Text, Watched, contexts, declared,
    decode::{self, Spanned},
    deployments, environment, fleet, folder,
    found::{self, Found},
    ledger, limits, local, quotas,
    raw::Raw,
    report::{Problem, Problems, nearest},
    source::Source,
    tokens, yaml,
};
use crate::{
    engines::measured::Measured,
    keys::{Keys, Known, ScopedTo},
};

/// Where clients are served unless the configuration says otherwise.
pub(super) const LISTEN: &str = "127.0.0.1:8080";
/// Where health, metrics and administration are served unless the configuration says otherwise.
pub(super) const ADMIN: &str = "127.0.0.1:8081";
/// Where the ledger lives unless the configuration says otherwise.
pub const DATA_DIR: &str = "pointsman-data";

/// The name that stands for the built-in policies in the list of policy files.
pub(crate) const BUILT_IN: &str = "default";
/// Their text.
const DEFAULT_POLICIES: &str = include_str!("../../../config/policies/default.yaml");

/// Reads `file` and the catalog, policies and keys that it names.
///
/// The report beside a configuration holds warnings.
///
/// # Errors
/// Every problem that was found, if any of them is an error.
pub fn load(file: &Path, overrides: &Overrides, environment: &Environment) -> Result<(Config, Report), Report> {
    let mut problems = Problems::default();
    let config = Source::read(file, "configuration")
        .map_err(|problem| problems.push(*problem))
        .ok()
        .and_then(|source| Reading::new(file, source, environment, &mut problems).config(overrides));
    finished(config, problems)
}

/// What commands beside `serve` need of a configuration: it does not take the secrets of the serving machine.
#[derive(Debug)]
pub struct Outline {
    /// Where the ledger lives.
    pub data_dir: PathBuf,
    /// The keys file, if one is named.
    pub keys: Option<PathBuf>,
    /// The contexts.
    pub contexts: Contexts,
    /// The teams.
    pub teams: Teams,
    /// What the gateways share.
    pub fleet: Option<super::Fleet>,
    /// What the ledger keeps of people.
    pub kept: ledger::Kept,
    /// The values of a request that records hold.
    pub facts: super::DeclaredFacts,
    /// Where the index of the ledger is; nowhere also where that is a variable which is not set here.
    pub index: Option<Secret>,
}

/// Reads the outline of `file`. A variable that is not set here is no problem unless the outline needs it.
///
/// # Errors
/// Every problem of the file itself that was found; the files that it names are not looked at.
pub fn outline(file: &Path, environment: &Environment) -> Result<Outline, Report> {
    let mut problems = Problems::default();
    let outline = Source::read(file, "configuration")
        .map_err(|problem| problems.push(*problem))
        .ok()
        .and_then(|source| Reading::new(file, source, environment, &mut problems).outline());
    match outline {
        Some(outline) if !problems.has_errors() => Ok(outline),
        _ => Err(problems.into_report()),
    }
}

/// The configuration and its warnings, or the problems that rule it out.
pub(super) fn finished(config: Option<Config>, problems: Problems) -> Result<(Config, Report), Report> {
    match config {
        Some(config) if !problems.has_errors() => Ok((config, problems.into_report())),
        _ => Err(problems.into_report()),
    }
}

/// One configuration file being read.
pub(super) struct Reading<'a> {
    pub(super) source: Source,
    pub(super) environment: &'a Environment,
    pub(super) problems: &'a mut Problems,
    pub(super) watched: Vec<Watched>,
    /// Routes that keys and bearers of tokens are bound to, and the files that say so.
    pub(super) scoped: Vec<(Source, ScopedTo)>,
    file: PathBuf,
}

impl<'a> Reading<'a> {
    fn new(file: &Path, source: Source, environment: &'a Environment, problems: &'a mut Problems) -> Self {
        let watched = vec![Watched::new(file, Some(&source.text))];
        Self { source, environment, problems, watched, scoped: Vec::new(), file: file.to_owned() }
    }

    /// A path of the file, from where the file is.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Notes a problem of a place in this file.
    pub(super) fn note(&mut self, problem: Problem, at: std::ops::Range<usize>) {
        let diagnostic = problem.at(&self.source, at);
        self.problems.push(diagnostic);
    }

    /// Reads a file that this one names, and has it watched also if it cannot be read: it may come.
    pub(super) fn named_file(&mut self, path: &Spanned<String>, what: &str) -> Option<Source> {
        let read = self.unwatched_file(path, what);
        let watched = Watched::new(&self.path(&path.value), read.as_ref().map(|source| &*source.text));
        self.watched.push(watched);
        read
    }

    /// Reads a file that this one names and that is followed without a reload.
    pub(super) fn unwatched_file(&mut self, path: &Spanned<String>, what: &str) -> Option<Source> {
        let found = self.path(&path.value);
        match Source::read(&found, what) {
            Ok(source) => Some(source),
            Err(unreadable) => {
                let Diagnostic { message, hint, .. } = *unreadable;
                let problem = Problem::error("unreadable-file", message).label(found.display().to_string());
                self.note(hint.into_iter().fold(problem, Problem::hint), path.at.clone());
                None
            }
        }
    }

    fn outline(mut self) -> Option<Outline> {
        let mut tree = yaml::parse(&self.source, self.problems)?;
        let mut unset = Problems::default();
        environment::expand(&mut tree, &self.source, self.environment, &mut unset);
        let needed = ["data_dir", "keys", "contexts", "teams", "entities", "fleet", "facts"];
        let of_ledger = |key| tree.get("ledger").and_then(|ledger| ledger.get(key));
        let holds = ["keep_days", "pseudonym_days", "holds"].into_iter().filter_map(of_ledger);
        if needed.iter().filter_map(|key| tree.get(key)).chain(holds).any(yaml::Node::has_broken) {
            self.problems.append(unset.into_report());
        }
        let raw: Raw = decode::decode(&mut tree, &self.source, self.problems)?;
        Some(Outline {
            data_dir: self.path(raw.data_dir.as_ref().map_or(DATA_DIR, |dir| &dir.value)),
            keys: raw.keys.as_ref().map(|keys| self.path(&keys.value)),
            contexts: contexts::contexts(&mut self, &raw, &tree),
            teams: contexts::teams(&mut self, &raw, &tree),
            fleet: fleet::check(&mut self, raw.fleet.as_ref(), &tree),
            kept: ledger::kept(&mut self, raw.ledger.as_ref()),
            facts: declared::check(&mut self, &raw),
            index: ledger::index(&mut self, raw.ledger.as_ref()),
        })
    }

    fn config(mut self, overrides: &Overrides) -> Option<Config> {
        let mut tree = yaml::parse(&self.source, self.problems)?;
        environment::expand(&mut tree, &self.source, self.environment, self.problems);
        let raw: Raw = decode::decode(&mut tree, &self.source, self.problems)?;

        let listen = match overrides.listen {
            Some(listen) => Some(listen),
            None => self.address(raw.listen.as_ref(), LISTEN),
        };
        let admin = match overrides.admin {
            Some(admin) => Some(admin),
            None => self.address(raw.admin.as_ref(), ADMIN),
        };
        if let (Some(listen), Some(admin), Some(written)) = (listen, admin, &raw.admin)
            && listen == admin
            && listen.port() != 0
        {
            let problem = Problem::error("same-address", format!("`admin` and `listen` are both {listen}"))
                .hint("administration has a listener of its own: give it another port");
            self.note(problem, written.at.clone());
        }
        let data_dir = match (&overrides.data_dir, &raw.data_dir) {
            (Some(dir), _) => dir.clone(),
            (None, Some(dir)) => self.path(&dir.value),
            (None, None) => self.path(DATA_DIR),
        };

        let (catalog, catalog_is_whole, mut texts) = self.catalog(&raw.catalog);
        let measured = Measured::of_folder(&data_dir);
        let mut deployments =
            deployments::check(&mut self, &raw.deployments, &tree, &catalog, catalog_is_whole, &measured);
        let mut not_live = Vec::new();
        if raw.discover {
            let found = found::hosts(&catalog, self.environment, self.problems);
            // What the file says about a deployment wins over what was found.
            deployments.extend(
                found
                    .deployments
                    .into_iter()
                    .filter(|d| !raw.deployments.iter().any(|written| written.value.id.value == d.facts.id)),
            );
            not_live = found.not_live;
        }
        let local = local::check(&mut self, &raw.local);
        let memory = local.unwrap_or_default().budget();
        self.models(&raw, overrides, |folder| folder::models(folder, &catalog, &measured, memory))
            .join(&mut deployments, &mut not_live);
        let contexts = contexts::contexts(&mut self, &raw, &tree);
        let teams = contexts::teams(&mut self, &raw, &tree);
        let limits = limits::check(&mut self, &raw.limits);
        let ledger = ledger::check(&mut self, raw.ledger.as_ref());
        let retry_budget = limits::retry_budget(&mut self, &raw.retry_budget);
        let facts = declared::check(&mut self, &raw);
        let known = Known { contexts: &contexts, teams: &teams, catalog: &catalog, deployments: &deployments };
        let issuers = tokens::check(&mut self, &raw, &known);
        let access = self.keys(&raw, &known);
        let keys_file = raw.keys.as_ref().map(|keys| self.path(&keys.value));
        let declared = declared::declared(&raw, &facts, access.as_ref());
        let (policies, policy_files, digest) =
            self.policies(raw.policies.as_deref(), &catalog, &deployments, &declared);
        let name = self.source.name.to_string();
        texts.push(Text { role: Role::Configuration, name, text: Arc::clone(&self.source.text) });
        texts.extend(policy_files.iter().map(Text::of_policies));
        if let Some(policies) = &policies {
            declared::unused(&mut self, &raw, policies);
            self.scoped_routes(policies);
        }
        let known = quotas::Known {
            access: access.as_ref(),
            has_issuers: !raw.tokens.is_empty(),
            policies: policies.as_ref(),
            catalog: &catalog,
        };
        let quotas = quotas::check(&mut self, &raw, &tree, &known);
        let webhook = quotas::webhook(&mut self, raw.webhook.as_ref());
        let fleet = fleet::check(&mut self, raw.fleet.as_ref(), &tree);

        Some(Config {
            file: Some(self.file),
            listen: listen?,
            admin: admin?,
            data_dir,
            ledger: ledger?,
            limits: limits?,
            local: local?,
            retry_budget: retry_budget?,
            deployments,
            not_live,
            contexts,
            teams,
            quotas,
            webhook,
            fleet,
            facts,
            access: access?,
            issuers,
            keys_file,
            catalog,
            policies: Arc::new(policies?),
            texts,
            policy_digest: policy_digest(&policy_files),
            policy_files,
            digest,
            watched: self.watched,
        })
    }

    fn address(&mut self, written: Option<&Spanned<String>>, default: &str) -> Option<SocketAddr> {
        let text = written.map_or(default, |written| &written.value);
        match (text.parse(), written) {
            (Ok(address), _) => Some(address),
            (Err(_), Some(written)) => {
                let problem = Problem::error("address", format!("{} is not an address", written.shown()))
                    .label("expected an IP address and a port")
                    .hint("for example 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080");
                self.note(problem, written.at.clone());
                None
            }
            (Err(_), None) => None,
        }
    }

    /// The catalog with the company's files over it, whether all of them could be read, and their texts.
    fn catalog(&mut self, files: &[Spanned<String>]) -> (Arc<Catalog>, bool, Vec<Text>) {
        let builtin = Catalog::builtin();
        if files.is_empty() {
            return (builtin, true, Vec::new());
        }
        let sources: Vec<Source> = files.iter().filter_map(|file| self.named_file(file, "catalog file")).collect();
        let kept = sources.iter().map(|source| Text {
            role: Role::Catalog,
            name: source.name.to_string(),
            text: Arc::clone(&source.text),
        });
        let kept = kept.collect();
        let texts: Vec<_> = sources.iter().map(|s| (s.name.to_string(), s.text.to_string())).collect();
        match builtin.with_overlays(&texts) {
            Ok(catalog) => (Arc::new(catalog), sources.len() == files.len(), kept),
            Err(found) => {
                for problem in found {
                    self.problems.push(of_catalog(problem, &sources));
                }
                (builtin, false, Vec::new())
            }
        }
    }

    /// The models of the folder of models.
    fn models(&mut self, raw: &Raw, overrides: &Overrides, look: impl Fn(&Path) -> io::Result<Found>) -> Found {
        let written = raw.local.models.as_ref();
        let folder = overrides.models.clone().or_else(|| written.map(|written| self.path(&written.value)));
        let Some(folder) = folder else { return Found::default() };
        match (look(&folder), written) {
            (Ok(found), _) => return found,
            (Err(error), Some(written)) if overrides.models.is_none() => {
                let problem = folder::unreadable(&folder, &error).hint("a relative path is relative to this file");
                self.note(problem, written.at.clone());
            }
            (Err(error), _) => self.problems.push(folder::unreadable(&folder, &error).of("--models")),
        }
        Found::default()
    }

    fn policies(
        &mut self,
        files: Option<&[Spanned<String>]>,
        catalog: &Catalog,
        deployments: &[super::Deployment],
        declared: &Declared,
    ) -> (Option<PolicySet>, Vec<policies::Source>, String) {
        let sources: Vec<policies::Source> = match files {
            None => vec![default_policies()],
            Some([]) => {
                let problem = Problem::error("no-policies", "`policies` names no file, so nothing could be routed")
                    .hint("name a policy file, or leave the key out for the built-in policies");
                self.problems.push(problem.at(&self.source, 0..0));
                return (None, Vec::new(), String::new());
            }
            Some(files) => files.iter().filter_map(|file| self.policy_file(file)).collect(),
        };
        let digest = digest(&self.source, catalog, &sources);
        if sources.len() < files.map_or(1, <[_]>::len) {
            return (None, sources, digest);
        }
        (compiled(&sources, catalog, deployments, declared, self.problems), sources, digest)
    }

    fn policy_file(&mut self, file: &Spanned<String>) -> Option<policies::Source> {
        if file.value == BUILT_IN {
            return Some(default_policies());
        }
        let source = self.named_file(file, "policy file")?;
        Some(policies::Source::new(&*source.name, &*source.text))
    }

    fn keys(&mut self, raw: &Raw, known: &Known<'_>) -> Option<Access> {
        let Some(path) = &raw.keys else {
            if !raw.tokens.is_empty() {
                return Some(Access::Keys(Keys::none()));
            }
            let problem =
                Problem::error("keys-required", "the configuration names no `keys` file, so nobody may be let in")
                    .hint("add `keys: keys.yaml`, then `pointsman keys new --team T --context C` writes the first key");
            self.problems.push(problem.at(&self.source, 0..0));
            return None;
        };
        let file = self.path(&path.value);
        if !file.exists() {
            self.watched.push(Watched::new(&file, None));
            let problem = Problem::warning("no-keys", "the keys file does not exist yet, so every request is refused")
                .label(file.display().to_string())
                .hint(format!(
                    "`pointsman keys new --config {} --team T --context C` writes the first key",
                    self.file.display()
                ));
            self.note(problem, path.at.clone());
            return Some(Access::Keys(Keys::none()));
        }
        let source = self.named_file(path, "keys file")?;
        let (keys, routes) = Keys::load(&source, known, self.problems)?;
        self.scoped.extend(routes.into_iter().map(|route| (source.clone(), route)));
        Some(Access::Keys(keys))
    }

    /// Warns of keys that are bound to routes that there are not.
    fn scoped_routes(&mut self, policies: &PolicySet) {
        for (source, ScopedTo { whose, route }) in std::mem::take(&mut self.scoped) {
            if route.value == policies::DIRECT || policies.routes().any(|name| name == route.value) {
                continue;
            }
            let message = format!("{whose} is bound to `{}`, which is no route", route.value.escape_debug());
            let hint = match nearest(&route.value, policies.routes()) {
                Some(near) => format!("it takes no request by that name; did you mean `{near}`?"),
                None => format!("it takes no request by that name; `{}` is a model by its own name", policies::DIRECT),
            };
            self.problems.push(Problem::warning("unknown-name", message).hint(hint).at(&source, route.at));
        }
    }
}

impl Text {
    pub(super) fn of_policies(source: &policies::Source) -> Self {
        Self { role: Role::Policies, name: source.name.clone(), text: source.text.as_str().into() }
    }
}

/// The built-in policies.
pub(crate) fn default_policies() -> policies::Source {
    policies::Source::builtin("policies/default.yaml", DEFAULT_POLICIES)
}

/// Compiles policies; their problems join the others.
pub(super) fn compiled(
    sources: &[policies::Source],
    catalog: &Catalog,
    deployments: &[super::Deployment],
    declared: &Declared,
    problems: &mut Problems,
) -> Option<PolicySet> {
    let deployments: Vec<_> = deployments.iter().map(|deployment| deployment.facts.clone()).collect();
    match policies::compile_declared(sources, catalog, &deployments, declared) {
        Ok((policies, warnings)) => {
            problems.append(warnings);
            Some(policies)
        }
        Err(report) => {
            problems.append(report);
            None
        }
    }
}

/// SHA-256 over all that decides a request: the configuration, the catalog and the policies.
pub(super) fn digest(config: &Source, catalog: &Catalog, policies: &[policies::Source]) -> String {
    let policies = policies.iter().map(|policy| policy.text.as_str());
    digest_of([&*config.text, catalog.digest()].into_iter().chain(policies))
}

/// SHA-256 over the policies alone.
pub(super) fn policy_digest(policies: &[policies::Source]) -> String {
    digest_of(policies.iter().map(|policy| policy.text.as_str()))
}

fn digest_of<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        // Each text with its length, so that moving a line from one file to the next is a change.
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    crate::keys::hex(&hasher.finalize())
}

/// A problem of a catalog file, with the line that it is about.
pub(crate) fn of_catalog(problem: catalog::Problem, sources: &[Source]) -> Diagnostic {
    let source = sources.iter().find(|source| *source.name == *problem.file).cloned();
    let source = source.unwrap_or_else(|| Source::new(problem.file.as_str(), ""));
    let line_start =
        source.text.split_inclusive('\n').take((problem.line as usize).saturating_sub(1)).map(str::len).sum::<usize>();
    let line = source.text[line_start..].lines().next().unwrap_or_default();
    let start = line.char_indices().nth((problem.column as usize).saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let word = line[start..].find([' ', ',', '}', ']', ':']).unwrap_or(line.len() - start);
    let stated = Problem::error(problem.code, problem.message);
    let stated = problem.hint.into_iter().fold(stated, Problem::hint);
    stated.at(&source, line_start + start..line_start + start + word)
}
