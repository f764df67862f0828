//! What was spent in the current period of each budget, kept over restarts without a disk on any request's way.
//!
//! The file is always ahead: it says of each budget how far it may be spent, a hundredth of the budget more than it is, and
//! is written again before that is reached. So whatever happens to the process, a gateway that starts again takes for spent
//! all that was spent, and of what was not about two hundredths and what requests had set aside in the last second. A
//! gateway that is told to stop writes what was spent exactly. Only the first request after a period begins, and one that sets
//! more than a hundredth aside, wait until the file says so; where it cannot be written, no request of that budget is served.
//!
//! One file, replaced whole. In a fleet it is a PostgreSQL that says so, each gateway draws a part of the budget ahead from what
//! all of them have ([`Account::draw`]), and what is not used goes back; the file is not there then. Amounts are whole billionths of a USD: sums of them are exact. Knows nothing of requests.

mod account;

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use self::account::{Account, Aside, Crossed, Draw, NanoUsd, Refused, Standing, Taken};
use crate::{config::Every, keys::replace_file};

/// The most accounts; more have no room in memory or in a file that is written each second.
const MOST: usize = 100_000;
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
    /// How many gateways draw from the budgets, where several do.
    gateways: Option<Arc<AtomicU32>>,
    accounts: Mutex<HashMap<Key, Arc<Account>>>,
    /// Somebody waits, or will soon.
    wake: Notify,
    /// The file was written.
    written: Notify,
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
            let Entry { key, begins, spent_nano_usd: spent, told } = entry;
            let account = Account::written(key.every, begins, spent, told);
            (key, Arc::new(account))
        };
        let accounts = read.accounts.into_iter().map(account).collect();
        Ok(Self { accounts: Mutex::new(accounts), ..Self::empty(file, None) })
    }

    /// The budgets that a fleet of about so many gateways draws from.
    pub fn of_fleet(gateways: u32) -> Self {
        Self::empty(PathBuf::new(), Some(Arc::new(AtomicU32::new(gateways))))
    }

    fn empty(file: PathBuf, gateways: Option<Arc<AtomicU32>>) -> Self {
        Self { file, gateways, accounts: Mutex::default(), wake: Notify::new(), written: Notify::new() }
    }

    /// Whether several gateways draw from the budgets.
    pub fn is_shared(&self) -> bool {
        self.gateways.is_some()
    }

    /// There are so many gateways.
    pub fn heard(&self, gateways: u32) {
        if let Some(known) = &self.gateways {
            known.store(gateways, Relaxed);
        }
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
        let account = Arc::new(Account::new(key.every, self.gateways.clone()));
        accounts.insert(key, Arc::clone(&account));
        Some(account)
    }

    /// All that somebody may spend from.
    pub fn accounts(&self) -> Vec<(Key, Arc<Account>)> {
        let now = super::unix_now();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a period that is over nobody asks what was spent; of one that nobody holds no more is spent.
        accounts.retain(|_, account| Arc::strong_count(account) > 1 || account.state().ends > now);
        accounts.iter().map(|(key, account)| (key.clone(), Arc::clone(account))).collect()
    }

    /// Until somebody waits, or for a second; whether somebody waits.
    pub async fn woken(&self) -> bool {
        tokio::time::timeout(EVERY, self.wake.notified()).await.is_ok()
    }

    /// Those that wait may try again.
    pub fn drawn(&self) {
        self.written.notify_waiters();
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
            self.woken().await;
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

    /// Writes what was spent exactly: nothing is spent after. What a fleet shares is given back elsewhere.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn close(&self) -> io::Result<()> {
        if self.is_shared() { Ok(()) } else { self.write(true) }
    }

    fn write(&self, exactly: bool) -> io::Result<()> {
        let all = self.accounts();
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
                state.written();
            }
        }
        self.drawn();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{account::PARTS, *};

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
