//! What was spent in the current period of each budget, kept over restarts without a disk on any request's way.
//!
//! The file is always ahead: it says of each budget how far it may be spent, a hundredth of the budget more than it is, and
//! is written again before that is reached. So whatever happens to the process, a gateway that starts again takes for spent
//! all that was spent, and of what was not about two hundredths and what requests had set aside in the last second. A
//! gateway that is told to stop writes what was spent exactly. Only the first request after a period begins, and one that sets
//! more than a hundredth aside, wait until the file says so; where it cannot be written, no request of that budget is served.
//!
//! One file, replaced whole. Amounts are whole billionths of a USD: sums of them are exact. Knows nothing of requests.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::period::Period;
use crate::{config::Every, keys::replace_file};

/// Billionths of a USD.
pub type NanoUsd = u64;

/// The most accounts; more have no room in memory or in a file that is written each second.
const MOST: usize = 100_000;
/// A budget has this many parts, of which one is written ahead.
const PARTS: NanoUsd = 100;
/// How often the file is written where nobody waits for it.
const EVERY: Duration = Duration::from_secs(1);

/// Which budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Of this quota.
    pub quota: String,
    /// Of whom, where the quota tells some apart.
    pub subject: String,
    /// In each of these.
    pub every: Every,
}

/// All budgets of a gateway.
#[derive(Debug)]
pub struct Book {
    file: PathBuf,
    accounts: Mutex<HashMap<Key, Arc<Account>>>,
    /// Somebody waits, or will soon.
    wake: Notify,
    /// The file was written.
    written: Notify,
}

/// One budget.
#[derive(Debug)]
pub struct Account {
    every: Every,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    begins: i64,
    ends: i64,
    /// What was spent or is set aside.
    spent: NanoUsd,
    /// How far the file lets it be spent.
    mark: NanoUsd,
    /// What is to be written ahead, a part of the budget.
    part: NanoUsd,
    /// What somebody waits for beyond that.
    wanted: NanoUsd,
    /// Which of [`Crossed`] were told.
    told: u8,
}

/// What was set aside in a period.
#[derive(Clone, Copy, Debug)]
pub struct Aside {
    begins: i64,
    amount: NanoUsd,
}

/// Why nothing was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The budget is used up until then, in seconds since 1970.
    Spent {
        /// When the next period begins.
        ends: i64,
    },
    /// The file does not yet say so; it will.
    NotWritten,
}

/// A share of a budget that was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Crossed {
    /// The share that is to be told.
    Warn = 1,
    /// All of it: requests are refused.
    Stop = 2,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// What was spent or is set aside.
    pub spent: NanoUsd,
    /// Its period.
    pub period: Period,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    accounts: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: Key,
    begins: i64,
    spent_nano_usd: NanoUsd,
    told: u8,
}

/// The form of the file.
const VERSION: u32 = 1;

impl Book {
    /// The budgets of a file; none where there is no file.
    ///
    /// # Errors
    /// When it cannot be read: what was spent is not known then.
    pub fn open(file: PathBuf) -> io::Result<Self> {
        let read = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice::<File>(&bytes).map_err(io::Error::from)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => File { version: VERSION, ..File::default() },
            Err(error) => return Err(error),
        };
        if read.version != VERSION {
            return Err(io::Error::other(format!("it has version {}, and this gateway reads {VERSION}", read.version)));
        }
        let account = |entry: Entry| {
            let ends = Period::of(entry.key.every, entry.begins).ends;
            let Entry { key, begins, spent_nano_usd: spent, told } = entry;
            let state = State { begins, ends, spent, mark: spent, told, ..State::default() };
            let account = Account { every: key.every, state: Mutex::new(state) };
            (key, Arc::new(account))
        };
        let accounts = read.accounts.into_iter().map(account).collect();
        Ok(Self { file, accounts: Mutex::new(accounts), wake: Notify::new(), written: Notify::new() })
    }

    /// The account of a budget, opened where there is none; `None` where there is no room for one more.
    pub fn account(&self, key: Key) -> Option<Arc<Account>> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&key) {
            return Some(Arc::clone(account));
        }
        if accounts.len() >= MOST {
            return None;
        }
        let account = Arc::new(Account { every: key.every, state: Mutex::default() });
        accounts.insert(key, Arc::clone(&account));
        Some(account)
    }

    /// Until the file was written once more, or not in time. Asked for before what it is waited for was tried.
    pub fn written(&self) -> tokio::sync::futures::Notified<'_> {
        self.written.notified()
    }

    /// Has the file written soon.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Writes the file whenever it has to say something else, for as long as the process runs.
    pub async fn keep(self: Arc<Self>) {
        let mut failed = false;
        loop {
            let _ = tokio::time::timeout(EVERY, self.wake.notified()).await;
            let book = Arc::clone(&self);
            let wrote =
                tokio::task::spawn_blocking(move || book.write(false)).await.map_err(io::Error::other).flatten();
            match wrote {
                Ok(()) => failed = false,
                Err(error) if !failed => {
                    failed = true;
                    tracing::error!(%error, "what was spent cannot be written; requests with a budget wait for it");
                }
                Err(_) => {}
            }
            if failed {
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    /// Writes what was spent exactly: nothing is spent after.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn close(&self) -> io::Result<()> {
        self.write(true)
    }

    fn write(&self, exactly: bool) -> io::Result<()> {
        let now = super::unix_now();
        let all: Vec<(Key, Arc<Account>)> = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            // Of a period that is over nobody asks what was spent; of one that nobody holds no more is spent.
            accounts.retain(|_, account| Arc::strong_count(account) > 1 || account.state().ends > now);
            accounts.iter().map(|(key, account)| (key.clone(), Arc::clone(account))).collect()
        };
        let mut news = exactly;
        let mut marks = Vec::with_capacity(all.len());
        for (_, account) in &all {
            let mut state = account.state();
            let mark = if exactly { state.spent } else { state.next_mark() };
            news |= mark != state.mark;
            // Lower it is from now on, higher once that is written.
            state.mark = state.mark.min(mark);
            marks.push((state.begins, mark, state.told));
        }
        if !news {
            return Ok(());
        }
        let entry = |((key, _), (begins, mark, told)): (&(Key, Arc<Account>), &(i64, NanoUsd, u8))| Entry {
            key: key.clone(),
            begins: *begins,
            spent_nano_usd: *mark,
            told: *told,
        };
        let mut accounts: Vec<Entry> = all.iter().zip(&marks).map(entry).filter(|entry| entry.begins > 0).collect();
        accounts.sort_by(|one, other| one.key.cmp(&other.key));
        replace_file(&self.file, &serde_json::to_vec_pretty(&File { version: VERSION, accounts })?)?;
        for ((_, account), (begins, mark, _)) in all.iter().zip(marks) {
            let mut state = account.state();
            // A period may have begun meanwhile.
            if state.begins == begins {
                state.mark = mark;
                // Somebody may have come while the file was written, and waits for the next time.
                if state.spent.saturating_add(state.wanted) <= mark {
                    state.wanted = 0;
                }
            }
        }
        self.written.notify_waiters();
        Ok(())
    }
}

impl Account {
    /// Sets `amount` aside of a budget of `most`, all or nothing, and says whether a share was crossed by it. The book has
    /// to be woken where it says so.
    ///
    /// # Errors
    /// When the budget has not that much left, or the file does not yet say that it may be spent.
    pub fn set_aside(&self, amount: NanoUsd, most: NanoUsd, warn: NanoUsd, now: i64) -> Result<Taken, Refused> {
        let mut state = self.state();
        state.enter(self.every, now);
        let spent = state.spent.saturating_add(amount);
        // What costs nothing is refused as well once all is spent.
        if spent > most || state.spent >= most {
            return Err(Refused::Spent { ends: state.ends });
        }
        state.part = (most / PARTS).max(2);
        if spent > state.mark || state.mark == 0 {
            state.wanted = state.wanted.max(amount);
            return Err(Refused::NotWritten);
        }
        state.spent = spent;
        let crossed = state.cross(spent >= warn, Crossed::Warn);
        Ok(Taken { aside: Aside { begins: state.begins, amount }, crossed, wake: state.runs_low() })
    }

    /// What was set aside cost `cost`.
    pub fn settle(&self, aside: Aside, cost: NanoUsd, warn: NanoUsd, now: i64) -> Option<Crossed> {
        let mut state = self.state();
        state.enter(self.every, now);
        // A request that began in the period before is paid for in this one; what it set aside went with the other.
        let given_back = if state.begins == aside.begins { aside.amount } else { 0 };
        state.spent = state.spent.saturating_sub(given_back).saturating_add(cost);
        let warns = cost > 0 && state.spent >= warn;
        state.cross(warns, Crossed::Warn)
    }

    /// A request was refused, since all is spent; whether that is news.
    pub fn stopped(&self) -> Option<Crossed> {
        self.state().cross(true, Crossed::Stop)
    }

    /// How it stands.
    pub fn standing(&self, now: i64) -> Standing {
        let mut state = self.state();
        state.enter(self.every, now);
        Standing { spent: state.spent, period: Period { begins: state.begins, ends: state.ends } }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Held for a few instructions; a state is right after every one of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something was set aside.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// What.
    pub aside: Aside,
    /// A share that was spent by it for the first time.
    pub crossed: Option<Crossed>,
    /// Whether the file has to be written soon.
    pub wake: bool,
}

impl State {
    /// Begins a new period where the last one is over. A clock that goes back begins none.
    fn enter(&mut self, every: Every, now: i64) {
        if now >= self.ends {
            let Period { begins, ends } = Period::of(every, now);
            *self = Self { begins, ends, ..Self::default() };
        }
    }

    /// Whether little is left of what was written ahead.
    fn runs_low(&self) -> bool {
        self.spent.saturating_add((self.part / 2).max(self.wanted)) > self.mark
    }

    /// How far the file is to let it be spent next.
    fn next_mark(&self) -> NanoUsd {
        let ahead = self.part.max(self.wanted.saturating_mul(2));
        let next = self.spent.saturating_add(ahead);
        if self.runs_low() || next.saturating_add(ahead) < self.mark { next } else { self.mark }
    }

    fn cross(&mut self, crossed: bool, what: Crossed) -> Option<Crossed> {
        let news = crossed && self.told & what as u8 == 0;
        news.then(|| {
            self.told |= what as u8;
            what
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const MOST: NanoUsd = 1_000_000;
    const WARN: NanoUsd = 800_000;

    fn key() -> Key {
        Key { quota: "desk".into(), subject: String::new(), every: Every::Day }
    }

    fn book(folder: &tempfile::TempDir) -> (Book, Arc<Account>) {
        let book = Book::open(folder.path().join("budgets.json")).unwrap();
        let account = book.account(key()).unwrap();
        (book, account)
    }

    /// Sets aside, with the file written as often as that takes.
    fn aside(book: &Book, account: &Account, amount: NanoUsd) -> Result<Taken, Refused> {
        let now = super::super::unix_now();
        account.set_aside(amount, MOST, WARN, now).or_else(|refused| match refused {
            Refused::NotWritten => {
                book.write(false).unwrap();
                account.set_aside(amount, MOST, WARN, now)
            }
            spent => Err(spent),
        })
    }

    #[test]
    fn no_more_is_spent_than_there_is_and_what_was_not_used_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let (book, account) = book(&folder);
        let now = super::super::unix_now();
        assert_eq!(account.set_aside(5, MOST, WARN, now).unwrap_err(), Refused::NotWritten, "nothing is on disk yet");
        let first = aside(&book, &account, 900_000).unwrap();
        assert_eq!(first.crossed, Some(Crossed::Warn));
        assert!(matches!(aside(&book, &account, 200_000), Err(Refused::Spent { .. })));
        assert_eq!(account.settle(first.aside, 100_000, WARN, now), None);
        let second = aside(&book, &account, 900_000).unwrap();
        assert_eq!(second.crossed, None, "told once in a period");
        account.settle(second.aside, 1_200_000, WARN, now);
        assert!(matches!(aside(&book, &account, 0), Err(Refused::Spent { .. })), "used up is used up for all");
        assert_eq!((account.stopped(), account.stopped()), (Some(Crossed::Stop), None));
    }

    #[test]
    fn a_new_period_begins_with_nothing_spent_and_pays_for_what_ends_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (book, account) = book(&folder);
        let taken = aside(&book, &account, 500_000).unwrap();
        let tomorrow = account.standing(super::super::unix_now()).period.ends;
        account.settle(taken.aside, 300_000, WARN, tomorrow);
        assert_eq!(account.standing(tomorrow).spent, 300_000);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_waits_for_the_file_is_told_however_many_come_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (book, account) = book(&folder);
        let book = Arc::new(book);
        tokio::spawn(Arc::clone(&book).keep());
        let ask = |nth: u64| {
            let (book, account) = (Arc::clone(&book), Arc::clone(&account));
            tokio::spawn(async move {
                let amount = MOST / 40 + nth;
                for _ in 0..10 {
                    let taken = loop {
                        let written = book.written();
                        match account.set_aside(amount, 100 * MOST, 100 * MOST, super::super::unix_now()) {
                            Ok(taken) => break taken,
                            Err(_) => {
                                book.wake();
                                tokio::time::timeout(Duration::from_secs(60), written).await.expect("it is written");
                            }
                        }
                    };
                    account.settle(taken.aside, amount / 2, 100 * MOST, super::super::unix_now());
                }
            })
        };
        for asked in (0..32).map(ask).collect::<Vec<_>>() {
            asked.await.unwrap();
        }
    }

    #[test]
    fn a_file_that_says_something_else_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("budgets.json");
        for bad in ["", "[]", "{\"version\": 2, \"accounts\": []}"] {
            fs::write(&file, bad).unwrap();
            assert!(Book::open(file.clone()).is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whenever the process is killed, the next one takes for spent at least what was spent, and at most what was written
        /// ahead more; one that was stopped takes exactly what was spent.
        #[test]
        fn a_gateway_that_starts_again_never_has_more_to_spend(
            requests in vec((1_u64..60_000, 0_u64..60_000, any::<bool>()), 1..60), stopped in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (book_, account) = book(&folder);
            let mut ahead = MOST / PARTS;
            for (set_aside, cost, written) in requests {
                if let Ok(taken) = aside(&book_, &account, set_aside) {
                    account.settle(taken.aside, cost.min(set_aside), WARN, super::super::unix_now());
                }
                ahead = ahead.max(set_aside);
                if written {
                    book_.write(false).unwrap();
                }
            }
            if stopped {
                book_.close().unwrap();
            }
            let spent = account.standing(super::super::unix_now()).spent;
            let (_, again) = book(&folder);
            let known = again.standing(super::super::unix_now()).spent;
            prop_assert!(known >= spent, "{known} of {spent}");
            // What was given back since may have been written as spent as well.
            prop_assert!(known <= spent + 4 * ahead, "{known} of {spent}");
            prop_assert!(!stopped || known == spent);
        }
    }
}
