//! The records of a ledger as they lie in its segments, looked at on all cores.
//!
//! A segment is called after the number of its first record (20 digits, `.log`) and begins with 24 bytes: `PMLEDGER`, the version
//! 1 and that number (little endian), and the CRC-32 of those. Frames follow: length, CRC-32, eight bytes that say how many
//! records were durable when the frame was written, and as many bytes of JSON as the length says; a length of 0 is a mark without a
//! record. The sum is over length, durable count and bytes. Zeros after the last frame are room that was made.
//!
//! Whoever has nothing to do walks the files on to the next whole frames, by their lengths alone, and then checks and hashes
//! those while the next one walks. Held at a time is a chunk for each core, whatever the size of the ledger.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
};

/// The largest record.
const MOST_BYTES: usize = 1 << 20;
/// Bytes before a record's own.
const HEADER_BYTES: usize = 16;
/// How much is read at a time: little enough for the cache of a core.
const CHUNK_BYTES: usize = 256 << 10;

/// How the records of a ledger end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Cleanly.
    Whole,
    /// In something that is no frame, in the newest segment: a crash may have left it.
    Torn,
}

/// Why the records cannot be read on.
#[derive(Debug)]
pub enum Broken {
    /// The file system.
    Io(io::Error),
    /// No crash leaves this behind.
    Altered(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Looks at every record of a ledger's folder from record `first` on, with its number: what `look` said of each, in order, as
/// far as they can be read. Segments that begin before it are left out.
///
/// The second value says how they end: an error where a segment is missing or is none, a frame is broken before the newest
/// segment, or a file cannot be read.
pub fn records<T: Send>(
    folder: &Path,
    first: u64,
    look: impl Fn(u64, &[u8]) -> T + Sync,
) -> (Vec<T>, Result<End, Broken>) {
    let firsts = match list(folder) {
        Ok(firsts) => firsts,
        Err(error) => return (Vec::new(), Err(error.into())),
    };
    let firsts = &firsts[firsts.partition_point(|begins| *begins < first)..];
    if firsts.is_empty() && first > 0 {
        let why = format!("records from {first} on are missing: no segment begins there");
        return (Vec::new(), Err(Broken::Altered(why)));
    }
    let walk = Mutex::new(Walk::new(folder, firsts, first));
    let work = || {
        let (mut buffer, mut looks) = (Vec::new(), Vec::new());
        loop {
            let chunk = walk.lock().unwrap_or_else(PoisonError::into_inner).chunk(&mut buffer);
            let Some(chunk) = chunk else { return looks };
            let look = Look::at(chunk, &buffer, &look);
            if look.broken.is_some() {
                // What follows counts for nothing.
                walk.lock().unwrap_or_else(PoisonError::into_inner).stop();
            }
            looks.push(look);
        }
    };
    let mut looks = thread::scope(|scope| {
        let others: Vec<_> = (1..cores()).map(|_| scope.spawn(work)).collect();
        let mut looks = work();
        for other in others {
            looks.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        looks
    });
    looks.sort_unstable_by_key(|look| look.chunk.nth);
    let mut found = Vec::new();
    for look in looks {
        found.extend(look.found);
        if let Some(number) = look.broken {
            return (found, torn(number, look.chunk.newest));
        }
    }
    let walk = walk.into_inner().unwrap_or_else(PoisonError::into_inner);
    (found, walk.end.unwrap_or(Ok(End::Whole)))
}

/// A record by its number, from its segment alone; `None` where it is not there.
///
/// # Errors
/// Its segment is none, or broken before it and not the newest, or cannot be read.
pub fn record(folder: &Path, number: u64) -> Result<Option<Vec<u8>>, Broken> {
    let firsts = list(folder)?;
    let Some(at) = firsts.partition_point(|first| *first <= number).checked_sub(1) else { return Ok(None) };
    let (newest, firsts) = (at + 1 == firsts.len(), &firsts[at..=at]);
    let mut walk = Walk::new(folder, firsts, firsts[0]);
    let mut buffer = Vec::new();
    while let Some(chunk) = walk.chunk(&mut buffer) {
        let look = Look::at(chunk, &buffer, &|at, record: &[u8]| (at == number).then(|| record.to_vec()));
        if let Some(record) = look.found.into_iter().flatten().next() {
            return Ok(Some(record));
        }
        if let Some(broken) = look.broken {
            return torn(broken, newest).map(|_| None);
        }
    }
    walk.end.unwrap_or(Ok(End::Whole)).map(|_| None)
}

/// The numbers of the first records of the segments in a folder, in order.
pub fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut firsts: Vec<u64> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|digits| digits.len() == 20);
        firsts.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// How many threads have a core each.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What a broken frame at a record means.
fn torn(number: u64, newest: bool) -> Result<End, Broken> {
    match newest {
        true => Ok(End::Torn),
        false => Err(Broken::Altered(format!("record {number} is broken, and a later segment proves it was whole"))),
    }
}

/// Whole frames of one segment.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Its place among all chunks.
    nth: usize,
    /// The number of its first record.
    number: u64,
    /// Whether it is of the newest segment.
    newest: bool,
}

/// The way through the files, from frame to frame by their lengths alone.
struct Walk<'a> {
    folder: &'a Path,
    firsts: &'a [u64],
    /// The segment in hand.
    file: Option<File>,
    /// How many segments were begun.
    begun: usize,
    /// What was read of the segment in hand and is no whole frame yet.
    rest: Vec<u8>,
    /// The number of the next record.
    number: u64,
    chunks: usize,
    /// How it ended, once it has.
    end: Option<Result<End, Broken>>,
}

impl<'a> Walk<'a> {
    fn new(folder: &'a Path, firsts: &'a [u64], number: u64) -> Self {
        Self { folder, firsts, file: None, begun: 0, rest: Vec::new(), number, chunks: 0, end: None }
    }

    /// The next whole frames, in the buffer; `None` where there are no more.
    fn chunk(&mut self, buffer: &mut Vec<u8>) -> Option<Chunk> {
        while self.end.is_none() {
            match self.advance(buffer) {
                Ok(Some(chunk)) => return Some(chunk),
                Ok(None) => {}
                Err(end) => self.end = Some(end),
            }
        }
        None
    }

    fn stop(&mut self) {
        self.end.get_or_insert(Ok(End::Torn));
    }

    /// Goes on by a chunk, or into the next segment. An error is the end.
    fn advance(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Chunk>, Result<End, Broken>> {
        let failed = |error: io::Error| Err(error.into());
        let Some(file) = &mut self.file else {
            return self.begin().map(|()| None);
        };
        let (nth, number, newest) = (self.chunks, self.number, self.begun == self.firsts.len());
        buffer.clear();
        buffer.append(&mut self.rest);
        loop {
            let got = file.take(CHUNK_BYTES as u64).read_to_end(buffer).map_err(failed)?;
            let (end, records, stop) = frames(buffer);
            if end > 0 {
                self.rest.extend_from_slice(&buffer[end..]);
                buffer.truncate(end);
                self.number += records;
                self.chunks += 1;
                return Ok(Some(Chunk { nth, number, newest }));
            }
            match stop {
                Stop::Short if got > 0 => {}
                Stop::Broken => return Err(torn(number, newest)),
                Stop::Short | Stop::Zeros => {
                    // Either nothing follows but zeros, room that was made, or it is torn.
                    if !(is_zero(buffer) && is_room(file).map_err(failed)?) {
                        return Err(torn(number, newest));
                    }
                    self.file = None;
                    return Ok(None);
                }
            }
        }
    }

    /// Opens the next segment.
    fn begin(&mut self) -> Result<(), Result<End, Broken>> {
        let Some(&first) = self.firsts.get(self.begun) else { return Err(Ok(End::Whole)) };
        let number = self.number;
        if first != number {
            let why = format!("records from {number} on are missing: no segment begins there");
            return Err(Err(Broken::Altered(why)));
        }
        self.begun += 1;
        let failed = |error: io::Error| Err(error.into());
        let mut file = File::open(self.folder.join(format!("{first:020}.log"))).map_err(failed)?;
        let mut header = Vec::with_capacity(24);
        (&mut file).take(24).read_to_end(&mut header).map_err(failed)?;
        if header != head(first) {
            // A segment whose making was cut short holds nothing.
            return match header.len() < 24 || header[8..] == [0; 16] {
                true => Err(torn(number, self.begun == self.firsts.len())),
                false => Err(Err(Broken::Altered(format!("the segment of record {first} does not begin as one")))),
            };
        }
        self.file = Some(file);
        Ok(())
    }
}

/// How the segment of a record begins.
fn head(first: u64) -> Vec<u8> {
    let mut head = [b"PMLEDGER\x01\0\0\0", &first.to_le_bytes()[..]].concat();
    head.extend(crc32fast::hash(&head).to_le_bytes());
    head
}

/// Why a walk over frames stops.
enum Stop {
    /// There may be more in the file.
    Short,
    /// At zeros.
    Zeros,
    /// At what is no frame.
    Broken,
}

/// Where the whole frames of some bytes end, how many records are in them, and what stops them.
fn frames(bytes: &[u8]) -> (usize, u64, Stop) {
    let (mut at, mut records) = (0, 0);
    loop {
        let Some(header) = bytes[at..].first_chunk::<HEADER_BYTES>() else { return (at, records, Stop::Short) };
        if *header == [0; HEADER_BYTES] {
            return (at, records, Stop::Zeros);
        }
        let length = length(header);
        if length > MOST_BYTES {
            return (at, records, Stop::Broken);
        }
        if bytes.len() - at < HEADER_BYTES + length {
            return (at, records, Stop::Short);
        }
        at += HEADER_BYTES + length;
        records += u64::from(length > 0);
    }
}

fn length(header: &[u8; HEADER_BYTES]) -> usize {
    u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whether a file holds nothing but zeros from here on.
fn is_room(file: &mut File) -> io::Result<bool> {
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        if file.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? == 0 {
            return Ok(true);
        }
        if !is_zero(&chunk) {
            return Ok(false);
        }
    }
}

/// What was found in a chunk.
struct Look<T> {
    chunk: Chunk,
    found: Vec<T>,
    /// The first record whose frame is broken; those after it were not looked at.
    broken: Option<u64>,
}

impl<T> Look<T> {
    fn at(chunk: Chunk, bytes: &[u8], look: &impl Fn(u64, &[u8]) -> T) -> Self {
        let (mut rest, mut number) = (bytes, chunk.number);
        let mut this = Self { chunk, found: Vec::new(), broken: None };
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let (body, after) = after.split_at(length(header).min(after.len()));
            let mut sum = crc32fast::Hasher::new();
            sum.update(&header[..4]);
            sum.update(&rest[8..HEADER_BYTES + body.len()]);
            if sum.finalize().to_le_bytes() != header[4..8] {
                this.broken = Some(number);
                break;
            }
            if !body.is_empty() {
                this.found.push(look(number, body));
                number += 1;
            }
            rest = after;
        }
        this
    }
}
