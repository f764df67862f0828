//! How far a long reading is: one line that moves where somebody watches, a line now and then in a log.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use super::size;

/// How often the line moves.
const MOVES: Duration = Duration::from_millis(100);
/// How often a log has a line, unless [`SHARE`] comes first.
const LINES: Duration = Duration::from_secs(10);
/// After which part of the whole a log has a line.
const SHARE: u64 = 20;

/// The bytes of one file.
pub(super) struct Progress {
    what: String,
    total: u64,
    is_watched: bool,
    /// Where it began: what was there already was not waited for.
    from: Option<u64>,
    begun: Instant,
    said: Option<(Instant, u64)>,
}

impl Progress {
    pub(super) fn of(what: &str, total: u64) -> Self {
        let what = what.chars().filter(|c| !c.is_control()).collect();
        Self { what, total, is_watched: io::stderr().is_terminal(), from: None, begun: Instant::now(), said: None }
    }

    /// So many of its bytes are there.
    pub(super) fn at(&mut self, bytes: u64) {
        let from = *self.from.get_or_insert(bytes);
        let is_due = match self.said {
            None => true,
            Some(_) if bytes >= self.total => true,
            Some((when, _)) if self.is_watched => when.elapsed() >= MOVES,
            Some((when, said)) => when.elapsed() >= LINES || bytes.saturating_sub(said) >= (self.total / SHARE).max(1),
        };
        if !is_due {
            return;
        }
        self.said = Some((Instant::now(), bytes));
        let text = self.text(bytes, from);
        // Nobody can be told that nobody can be told.
        let _ = match self.is_watched {
            true => write!(io::stderr(), "\r\x1b[K{text}").and_then(|()| io::stderr().flush()),
            false => writeln!(io::stderr(), "{text}"),
        };
    }

    fn text(&self, bytes: u64, from: u64) -> String {
        let share = (u128::from(bytes) * 100).checked_div(self.total.into()).unwrap_or(100);
        let (done, seconds) = (bytes.saturating_sub(from), self.begun.elapsed().as_secs_f64());
        let mut text = format!("{}: {} of {} ({share} %)", self.what, size(bytes), size(self.total));
        if done > 0 && seconds > 0.5 {
            let rate = done as f64 / seconds;
            let left = (self.total.saturating_sub(bytes) as f64 / rate) as u64;
            text +=
                &format!(", {}/s, {} left", size(rate as u64), humantime::format_duration(Duration::from_secs(left)));
        }
        text
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_watched && self.said.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}
