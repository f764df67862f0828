//! How one record lies in a segment file, and how a run of them is read back.
//!
//! ```text
//! length u32 | crc32 u32 | durable u64 | bytes          (little endian)
//! ```
//!
//! The checksum covers length, `durable` and bytes. `durable` is how many records of the log were safe on disk
//! when this frame was written, that is the sequence number of the first record of its group. A frame of length 0
//! is a mark: it holds no record and says only that everything before it is durable.
//!
//! `durable` is what tells a torn tail from damage. The writer starts a group only after the one before it was
//! synced, so a whole frame that claims more durable records than can be read before it proves that a record
//! which was once safe is now broken. Without such a frame the broken record was never acknowledged.
//!
//! After the last frame there may be zeros, room that the writer made; no frame begins with a header of zeros.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    ops::Range,
};

use serde::Serialize;

use crate::{AppendError, segment};

/// The largest record, in bytes of JSON. A length field above it is damage, so no reader allocates more.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Bytes before a record's own.
pub(crate) const HEADER_BYTES: usize = 16;

/// No header: a frame of length 0 with this checksum does not exist.
const EMPTY: [u8; HEADER_BYTES] = [0; HEADER_BYTES];

/// The fields of the header.
const LENGTH: Range<usize> = 0..4;
const CRC: Range<usize> = 4..8;
const DURABLE: Range<usize> = 8..16;

/// Builds the frame of `record` in `frame`; its length is filled in, the rest of its header is for [`seal`].
pub(crate) fn encode(record: &impl Serialize, frame: &mut Vec<u8>) -> Result<(), AppendError> {
    frame.clear();
    frame.resize(HEADER_BYTES, 0);
    serde_json::to_writer(Bounded(frame), record)
        .map_err(|error| if error.is_io() { AppendError::TooLarge } else { AppendError::Serialize(error) })?;
    let length = u32::try_from(frame.len() - HEADER_BYTES).expect("`Bounded` lets no more through");
    frame[LENGTH].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Writes to a frame until its record would be too large; the only I/O error there is.
struct Bounded<'a>(&'a mut Vec<u8>);

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > HEADER_BYTES + MAX_RECORD_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Completes the headers of a group of frames that begins when `durable` records are safe.
pub(crate) fn seal(mut frames: &mut [u8], durable: u64) {
    while let Some((header, rest)) = frames.split_first_chunk_mut::<HEADER_BYTES>() {
        let length = Header::parse(header).length;
        let (body, rest) = rest.split_at_mut(length);
        header[DURABLE].copy_from_slice(&durable.to_le_bytes());
        let crc = checksum(header, body);
        header[CRC].copy_from_slice(&crc.to_le_bytes());
        frames = rest;
    }
}

/// The frame that says `durable` records are safe and holds none itself.
pub(crate) fn mark(durable: u64) -> [u8; HEADER_BYTES] {
    let mut frame = [0; HEADER_BYTES];
    seal(&mut frame, durable);
    frame
}

fn checksum(header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[LENGTH]);
    hasher.update(&header[DURABLE]);
    hasher.update(body);
    hasher.finalize()
}

/// The fields of a frame header that has not been checked yet.
struct Header {
    length: usize,
    crc: u32,
    durable: u64,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, l3, c0, c1, c2, c3, durable @ ..] = *bytes;
        Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]) as usize,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            durable: u64::from_le_bytes(durable),
        }
    }
}

/// What lies at the place where the next record is expected.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole record, and the offset of its frame.
    Record { offset: u64, bytes: Vec<u8> },
    /// The records end here, cleanly: the file does too, or has only zeros left.
    End,
    /// Something that is not a whole frame of this log.
    Broken,
}

/// Reads the frames of one segment in order, in bounded memory.
#[derive(Debug)]
pub(crate) struct Frames {
    file: BufReader<File>,
    /// Where the next frame starts.
    offset: u64,
    /// The sequence number of the next record.
    sequence: u64,
    /// Where the newest group starts.
    group_offset: u64,
    /// What the newest whole frame said about how many records are durable.
    durable: u64,
}

impl Frames {
    /// Starts after the segment header of `file`, whose first record is `first`.
    pub(crate) fn new(file: File, first: u64) -> io::Result<Self> {
        let start = segment::HEADER_BYTES as u64;
        let mut file = BufReader::with_capacity(128 << 10, file);
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { file, offset: start, sequence: first, group_offset: start, durable: first })
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where the newest group of records starts: all before it was durable when it was written.
    pub(crate) fn group_offset(&self) -> u64 {
        self.group_offset
    }

    /// Reads on. After anything but a record the next call looks at the same place again, afresh.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        loop {
            let mut bytes = [0; HEADER_BYTES];
            match read_full(&mut self.file, &mut bytes)? {
                HEADER_BYTES if bytes != EMPTY => {}
                _ => return self.stop(),
            }
            let header = Header::parse(&bytes);
            if header.length > MAX_RECORD_BYTES || !self.continues(&header) {
                return self.stay(Step::Broken);
            }
            let mut body = vec![0; header.length];
            let got = read_full(&mut self.file, &mut body)?;
            if got < header.length || checksum(&bytes, &body) != header.crc {
                return self.stay(Step::Broken);
            }
            let offset = self.offset;
            self.offset += (HEADER_BYTES + header.length) as u64;
            if header.durable > self.durable {
                self.durable = header.durable;
                self.group_offset = offset;
            }
            if header.length > 0 {
                self.sequence += 1;
                return Ok(Step::Record { offset, bytes: body });
            }
        }
    }

    /// Where no header can be read: either nothing follows but zeros, room that the writer made, or it is broken.
    fn stop(&mut self) -> io::Result<Step> {
        let step = if self.data_end()? == self.offset { Step::End } else { Step::Broken };
        self.stay(step)
    }

    /// Where the last byte lies, from here on, that is not zero; here if there is none.
    pub(crate) fn data_end(&mut self) -> io::Result<u64> {
        let (mut at, mut end) = (self.offset, self.offset);
        self.file.seek(SeekFrom::Start(at))?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let got = read_full(&mut self.file, &mut chunk)?;
            if let Some(last) = chunk[..got].iter().rposition(|&byte| byte != 0) {
                end = at + last as u64 + 1;
            }
            if got < chunk.len() {
                return self.stay(end);
            }
            at += got as u64;
        }
    }

    /// Whether a frame says what the next one must: it belongs to the group at hand, or begins one here.
    fn continues(&self, header: &Header) -> bool {
        header.durable == self.durable || header.durable == self.sequence
    }

    fn stay<T>(&mut self, result: T) -> io::Result<T> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        Ok(result)
    }

    /// Whether what is broken here is damage: some whole frame further on belongs to another group.
    ///
    /// Looks at every byte offset, because the length that would lead to the next frame may itself be damaged.
    /// JSON holds no zero byte, and the top byte of a frame's length is zero: a record cannot pass for a frame.
    pub(crate) fn is_damage(&mut self) -> io::Result<bool> {
        let end = self.file.get_ref().metadata()?.len();
        // Each record between here and there takes at least a header and a byte.
        let most = self.sequence + end.saturating_sub(self.offset) / (HEADER_BYTES as u64 + 1);
        let mut window = vec![0; 64 << 10];
        let mut at = self.offset;
        loop {
            self.file.seek(SeekFrom::Start(at))?;
            let got = read_full(&mut self.file, &mut window)?;
            let headers = window[..got].windows(HEADER_BYTES);
            let starts = headers.len() as u64;
            for (start, bytes) in (at..).zip(headers) {
                let bytes: &[u8; HEADER_BYTES] = bytes.try_into().expect("a window is a header long");
                let header = Header::parse(bytes);
                let plausible = *bytes != EMPTY && header.length <= MAX_RECORD_BYTES && header.durable <= most;
                if plausible && !self.continues(&header) && self.is_whole(start, bytes)? {
                    return self.stay(true);
                }
            }
            if got < window.len() {
                return self.stay(false);
            }
            at += starts;
        }
    }

    fn is_whole(&mut self, start: u64, header: &[u8; HEADER_BYTES]) -> io::Result<bool> {
        let Header { length, crc, .. } = Header::parse(header);
        let mut body = vec![0; length];
        self.file.seek(SeekFrom::Start(start + HEADER_BYTES as u64))?;
        let got = read_full(&mut self.file, &mut body)?;
        Ok(got == length && checksum(header, &body) == crc)
    }
}

/// Reads until `buffer` is full or the file ends; says how much there was.
pub(crate) fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match source.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
