//! Endpoints from a file that somebody else writes: one a line.
//!
//! The file is read whole each time: it is small, and a length and a time of change can be those of before although the
//! text is not.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use backends::BoxFuture;
use tokio::io::AsyncReadExt as _;

use super::{FormOf, Found, MOST_ENDPOINTS, Source};

/// The most that a file of endpoints holds, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// How often a file is read.
const EVERY: Duration = Duration::from_secs(2);

/// Something in a file of endpoints that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its bytes in the text.
    pub at: Range<usize>,
    /// What is wrong, without the text itself.
    pub why: String,
}

/// The base addresses in a text: one a line, `host:port` or a whole address; what follows a `#` is a comment. With `keyed`
/// a key is sent to each.
///
/// # Errors
/// Everything that is wrong with it; naming nothing is wrong too.
pub fn addresses_of(text: &str, form: &FormOf, keyed: bool) -> Result<Vec<String>, Vec<Wrong>> {
    let whole = |why: String| vec![Wrong { at: 0..0, why }];
    if text.len() > MOST_BYTES {
        return Err(whole(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
    }
    let (mut addresses, mut wrong) = (Vec::new(), Vec::new());
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split('#').next().unwrap_or_default();
        let named = code.trim();
        if !named.is_empty() {
            let from = start + code.len() - code.trim_start().len();
            match form.base_url(named, keyed) {
                Ok(address) => addresses.push(address),
                Err(why) => wrong.push(Wrong { at: from..from + named.len(), why: why.to_owned() }),
            }
        }
        start += line.len();
    }
    if addresses.len() > MOST_ENDPOINTS {
        wrong.push(Wrong {
            at: 0..0,
            why: format!("it names {} endpoints, {MOST_ENDPOINTS} are the most", addresses.len()),
        });
    }
    if addresses.is_empty() && wrong.is_empty() {
        return Err(whole("it names no endpoint".to_owned()));
    }
    if wrong.is_empty() { Ok(addresses) } else { Err(wrong) }
}

/// See the module.
pub(super) struct File {
    path: PathBuf,
    form: FormOf,
    keyed: bool,
    /// The text that was last in order.
    taken: Option<String>,
}

impl File {
    pub(super) fn new(path: &Path, form: &FormOf, keyed: bool) -> Self {
        Self { path: path.to_owned(), form: form.clone(), keyed, taken: None }
    }

    async fn read(&self) -> io::Result<String> {
        let mut text = String::new();
        // A pipe or a device may never end.
        if !tokio::fs::metadata(&self.path).await?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let file = tokio::fs::File::open(&self.path).await?;
        file.take(MOST_BYTES as u64 + 1).read_to_string(&mut text).await?;
        Ok(text)
    }
}

impl Source for File {
    fn look(&mut self) -> BoxFuture<'_, Result<Found, String>> {
        Box::pin(async move {
            let text = self.read().await.map_err(|error| error.to_string())?;
            if self.taken.as_ref() == Some(&text) {
                return Ok(Found { addresses: None, again: EVERY });
            }
            let addresses = addresses_of(&text, &self.form, self.keyed).map_err(|wrong| told(&text, &wrong))?;
            self.taken = Some(text);
            Ok(Found { addresses: Some(addresses), again: EVERY })
        })
    }
}

/// The first thing that is wrong, with its line.
fn told(text: &str, wrong: &[Wrong]) -> String {
    let Some(Wrong { at, why }) = wrong.first() else { return String::new() };
    match text.get(..at.start).filter(|_| !at.is_empty()) {
        Some(before) => format!("line {}: {why}", before.matches('\n').count() + 1),
        None => why.clone(),
    }
}
