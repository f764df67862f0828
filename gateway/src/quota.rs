//! How much may be asked for and spent: by team, key, context, route and model, a minute or at a time, a day, week or month.
//!
//! A request takes what it may need before it runs - its tokens as they are estimated, the most that its answer may have, the
//! price of both at the dearest place that may serve it - all or nothing, and what it took in the end is put right when its
//! answer ends: what was not used is given back, what was used beyond is owed. So limits hold exactly, however many ask at once;
//! what can exceed them is only what one request takes beyond what was foreseen (a prompt longer than its estimate, an answer
//! without `max_tokens`), and nothing more is let in until that has drained. A request that is refused counts nowhere,
//! and no model, host or ledger hears of it. The gateways of a fleet share what there is (`rate`, `places`), and no request
//! waits for them.
//!
//! | step | when | what is taken |
//! |---|---|---|
//! | [`Quotas::enter`] | before the body is decoded | a request, a place among those that run |
//! | [`Pass::foresee`] | once it is decoded | tokens |
//! | [`Quotas::planned`] | once it is planned | money; and all of the above where a quota depends on the route or the model |
//! | [`Pass::settle`] | when the answer ends | the difference |
//!
//! Rates are atomic numbers (`bucket`), budgets are behind a lock each that is held for some instructions, and kept over
//! restarts ([`book`]). No disk and no network is waited for but as `book` says. Knows nothing of HTTP beyond a refusal.

pub mod alert;
pub mod book;
mod bucket;
mod held;
mod meters;
mod others;
mod period;
mod places;
mod rate;
mod status;

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use policies::Plan;
use tokio::sync::mpsc;

use self::{alert::Alert, book::Book, held::Held};
pub use self::{
    bucket::Nanos,
    held::{Foreseen, Pass},
    meters::Meters,
    others::Others,
    places::{Claim, Places},
    rate::{Ask, Rate, Share},
    status::Status,
};
use crate::{
    config::{Dimension, Fleet, Quota},
    keys::Grant,
    respond::error::ApiError,
    settle,
    wire::ClientApi,
};

/// The most that a quota tells apart; more are told when some of them have nothing left to remember.
const MOST_SUBJECTS: usize = 65_536;
/// Alerts that wait to be told.
const ALERTS: usize = 256;

/// All quotas of a configuration, and what is left of them.
#[derive(Debug)]
pub struct Quotas {
    /// Those that count requests of a team.
    by_team: HashMap<String, Vec<Arc<Counted>>>,
    /// Those that count requests of all.
    of_all: Vec<Arc<Counted>>,
    kept: Arc<Kept>,
}

/// What outlives a reload.
#[derive(Debug)]
struct Kept {
    book: Arc<Book>,
    alerts: mpsc::Sender<Alert>,
    /// The other gateways, where there are some.
    others: Option<Arc<Others>>,
    /// Until somebody tells them.
    told: Mutex<Option<mpsc::Receiver<Alert>>>,
    /// Until somebody hears the others for them.
    calls: Mutex<Option<mpsc::UnboundedReceiver<Arc<Meters>>>>,
}

/// A quota, and what is left of it to each that it tells apart.
#[derive(Debug)]
struct Counted {
    quota: Arc<Quota>,
    /// By who they are; under the empty name where it tells nobody apart.
    each: RwLock<HashMap<String, Arc<Meters>>>,
    kept: Arc<Kept>,
}

impl Quotas {
    /// Those of a configuration, with budgets kept in `data_dir`, or shared with the other gateways of a fleet. What did not change keeps what it has left, what was spent is kept whatever changes, and what runs counts on.
    ///
    /// # Errors
    /// When it cannot be read what was spent before this start.
    pub fn new(quotas: &[Quota], data_dir: &Path, fleet: Option<&Fleet>, previous: Option<&Self>) -> io::Result<Self> {
        let kept = match previous {
            Some(previous) => Arc::clone(&previous.kept),
            None => {
                let (alerts, told) = mpsc::channel(ALERTS);
                let book = match fleet.filter(|fleet| fleet.postgres.is_some()) {
                    Some(fleet) => Book::of_fleet(fleet.gateways),
                    None => Book::open(data_dir.join("budgets.json"))?,
                };
                let book = Arc::new(book);
                let others = fleet.filter(|fleet| fleet.valkey.is_some()).map(|fleet| Others::new(fleet.gateways));
                let (others, calls) = others.unzip();
                Arc::new(Kept { book, alerts, others, told: Mutex::new(Some(told)), calls: Mutex::new(calls) })
            }
        };
        let mut all = Self { by_team: HashMap::new(), of_all: Vec::new(), kept };
        for quota in quotas {
            let before =
                previous.and_then(|previous| previous.counted().find(|before| *before.quota == *quota).cloned());
            let counted = before.unwrap_or_else(|| {
                let kept = Arc::clone(&all.kept);
                Arc::new(Counted { quota: Arc::new(quota.clone()), each: RwLock::default(), kept })
            });
            if quota.matches.teams.is_empty() {
                all.of_all.push(Arc::clone(&counted));
            }
            for team in quota.matches.teams.iter().collect::<HashSet<_>>() {
                all.by_team.entry(team.clone()).or_default().push(Arc::clone(&counted));
            }
        }
        Ok(all)
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// A 429 with the time to wait, when as much was asked for as may be.
    pub fn enter(&self, who: &Grant, api: ClientApi) -> Result<Pass, ApiError> {
        let mut pass = Pass::default();
        for counted in self.of(who).filter(|counted| !counted.quota.needs_plan()) {
            let held = Held::new(counted.meters(who, "", "")?, None);
            if let Err(refused) = pass.hold(held).enter() {
                return Err(pass.told(api, refused));
            }
        }
        Ok(pass)
    }

    /// Lets a planned request in: takes what its quotas depend on a plan for, and what it may cost. Candidates whose model has
    /// nothing left are taken out of the plan; whether the first one was.
    ///
    /// # Errors
    /// A 429 when nothing is left for any of them.
    pub async fn planned(
        &self,
        pass: &mut Pass,
        who: &Grant,
        plan: &mut Plan,
        deployments: &[policies::Deployment],
    ) -> Result<bool, ApiError> {
        let depends = self.of(who).any(|counted| counted.quota.needs_plan());
        if !depends && !pass.spends() {
            return Ok(false);
        }
        let first = plan.candidates.first().map(|candidate| candidate.deployment);
        let route = plan.route.clone().unwrap_or_default();
        let foreseen = pass.foreseen;
        for counted in self.of(who).filter(|counted| counted.quota.needs_plan() && counted.quota.is_on(&route)) {
            let quota = &counted.quota;
            if !quota.tells_models() {
                pass.hold(Held::new(counted.meters(who, &route, "")?, None)).take_all(&foreseen)?;
                continue;
            }
            let mut refused = None;
            let mut models: Vec<Arc<str>> = Vec::new();
            for candidate in &plan.candidates {
                if !models.contains(candidate.model()) && quota.serves(candidate.model()) {
                    models.push(Arc::clone(candidate.model()));
                }
            }
            for model in models {
                let mut held = Held::new(counted.meters(who, &route, &model)?, Some(model.as_ref().into()));
                match held.take_all(&foreseen) {
                    Ok(()) => {
                        pass.hold(held);
                    }
                    Err(error) => {
                        held.give_back_all();
                        plan.candidates.retain(|candidate| *candidate.model() != model);
                        refused.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = refused.filter(|_| plan.candidates.is_empty()) {
                return Err(error);
            }
        }
        // The dearest place decides: whoever answers in the end costs no more.
        let usage = foreseen.usage();
        let dearest = |model: Option<&str>| {
            let of = plan.candidates.iter().filter(|candidate| model.is_none_or(|model| **candidate.model() == *model));
            of.filter_map(|candidate| settle::cost(&deployments[candidate.deployment], &usage)).fold(0.0, f64::max)
        };
        let mut refused = None;
        let mut without: Vec<Box<str>> = Vec::new();
        for held in &mut pass.held {
            let cost = dearest(held.model());
            if let Err(error) = held.set_aside(cost, &self.kept.book).await {
                match held.model() {
                    Some(model) => without.push(model.into()),
                    None => return Err(error),
                }
                refused.get_or_insert(error);
            }
        }
        plan.candidates.retain(|candidate| !without.iter().any(|model| **model == **candidate.model()));
        match refused {
            Some(error) if plan.candidates.is_empty() => Err(error),
            _ => Ok(plan.candidates.first().map(|candidate| candidate.deployment) != first),
        }
    }

    /// The quotas that may count requests of somebody.
    fn of<'a>(&'a self, who: &'a Grant) -> impl Iterator<Item = &'a Arc<Counted>> {
        let of_team = who.team.as_deref().and_then(|team| self.by_team.get(team));
        of_team.into_iter().flatten().chain(&self.of_all).filter(|counted| counted.quota.counts(who))
    }

    /// Each quota once.
    fn counted(&self) -> impl Iterator<Item = &Arc<Counted>> {
        let mut seen = HashSet::new();
        self.by_team.values().flatten().chain(&self.of_all).filter(move |counted| seen.insert(Arc::as_ptr(counted)))
    }

    /// How they stand.
    pub fn status(&self) -> Vec<Status> {
        let now = (nanos_now(), unix_now());
        let mut all: Vec<Status> = self.counted().flat_map(|counted| counted.status(now)).collect();
        all.sort_by(|one, other| (&one.quota, &one.subject).cmp(&(&other.quota, &other.subject)));
        all
    }

    /// Tells that a share of a budget was spent.
    pub fn tell(&self, key: &book::Key, crossed: book::Crossed) {
        for counted in self.counted() {
            let each = counted.each.read().unwrap_or_else(PoisonError::into_inner);
            let Some(meters) = each.get(&key.subject).filter(|meters| meters.quota_name() == key.quota) else {
                continue;
            };
            if let Some(money) = meters.money.iter().find(|money| money.budget.every == key.every) {
                meters.tell(money, crossed, unix_now());
            }
        }
    }

    /// What was spent, on disk or where a fleet keeps it.
    pub fn book(&self) -> &Arc<Book> {
        &self.kept.book
    }

    /// The others that share them, and what has to hear of those from now on; `None` where there are none, or somebody hears
    /// them.
    pub fn others(&self) -> Option<(Arc<Others>, mpsc::UnboundedReceiver<Arc<Meters>>)> {
        let calls = self.kept.calls.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.kept.others.clone().zip(calls)
    }

    /// The alerts from now on; `None` where somebody has them.
    pub fn alerts(&self) -> Option<mpsc::Receiver<Alert>> {
        self.kept.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Counted {
    /// What is left to whoever asks, on a route and for a model where it tells those apart.
    fn meters(&self, who: &Grant, route: &str, model: &str) -> Result<Arc<Meters>, ApiError> {
        let subject = self.subject(who, route, model);
        if let Some(meters) = self.each.read().unwrap_or_else(PoisonError::into_inner).get(&subject) {
            return Ok(Arc::clone(meters));
        }
        let mut each = self.each.write().unwrap_or_else(PoisonError::into_inner);
        if each.len() >= MOST_SUBJECTS {
            let now = nanos_now();
            each.retain(|_, meters| Arc::strong_count(meters) > 1 || !meters.is_idle(now));
        }
        let full = || {
            ApiError::unavailable("quota_full", format!("quota `{}` tells too many callers apart", self.quota.name))
                .hint("the operator has to take `per` out of the quota, or `key` out of its `per`")
        };
        if each.len() >= MOST_SUBJECTS {
            return Err(full());
        }
        let meters = Meters::new(&self.quota, &subject, &self.kept).ok_or_else(full)?;
        Ok(Arc::clone(each.entry(subject).or_insert_with(|| Arc::new(meters))))
    }

    /// Who is counted apart from others: empty where nobody is.
    fn subject(&self, who: &Grant, route: &str, model: &str) -> String {
        let mut subject = String::new();
        for dimension in &self.quota.per {
            let (name, value) = match dimension {
                Dimension::Team => ("team", who.team.as_deref().unwrap_or("-")),
                Dimension::Key => ("key", who.key.as_deref().unwrap_or("-")),
                Dimension::Context => ("context", who.context.name.as_str()),
                Dimension::Route => ("route", route),
                Dimension::Model => ("model", model),
            };
            if !subject.is_empty() {
                subject.push_str(", ");
            }
            subject.push_str(name);
            subject.push(' ');
            subject.push_str(value);
        }
        subject
    }

    fn status(&self, now: (Nanos, i64)) -> Vec<Status> {
        let each = self.each.read().unwrap_or_else(PoisonError::into_inner);
        each.iter().map(|(subject, meters)| meters.status(subject, now)).collect()
    }
}

impl Quota {
    /// Whether it counts requests of somebody, as far as that can be told without a plan.
    fn counts(&self, who: &Grant) -> bool {
        let fits = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|one| one == value))
        };
        let of = &self.matches;
        fits(&of.teams, who.team.as_deref())
            && fits(&of.keys, who.key.as_deref())
            && fits(&of.contexts, Some(&who.context.name))
    }

    fn is_on(&self, route: &str) -> bool {
        self.matches.routes.is_empty() || self.matches.routes.iter().any(|one| one == route)
    }

    fn serves(&self, model: &str) -> bool {
        self.matches.models.is_empty() || self.matches.models.iter().any(|one| one == model)
    }
}

/// The time by which buckets drain.
pub fn nanos_now() -> Nanos {
    static EPOCH: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    EPOCH.elapsed().as_nanos() as Nanos
}

/// The time by which budgets begin anew, in seconds since 1970.
pub fn unix_now() -> i64 {
    (settle::now_ms() / 1000) as i64
}
