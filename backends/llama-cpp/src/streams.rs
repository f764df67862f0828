//! What each stream of cells holds, where every sequence has a window of its own: the cells of one stream are scanned for its
//! own sequence only, so that many sequences at once cost no more than their own lengths.
//!
//! A stream keeps what its last sequence left. A sequence that begins takes over the stream whose tokens begin as its prompt
//! does for longest; where another sequence is still in there, or would have more use of it, it gets a copy, which costs
//! as much as copying a window of memory. Streams with different salts never meet.
//!
//! llama.cpp computes sequences in one pass only if their streams stand side by side, so one that stands apart moves into a
//! gap ([`Streams::close_gap`]). Knows nothing of llama.cpp else: what has to happen to cells it asks of [`Windows`].

#[cfg(test)]
mod tests;

use engine::Start;

use crate::prefix::Id;

/// Fewer tokens are computed sooner than a window is copied.
const LEAST_COPIED: usize = 32;

/// What can be done with the cells of a stream.
pub(crate) trait Windows {
    /// Makes all of one stream another's, whose own are gone.
    fn copy(&mut self, of: Id, to: Id);
    /// Takes the cells from a position on away.
    fn cut(&mut self, id: Id, from: usize);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Streams {
    streams: Vec<Stream>,
    /// The stream of each slot.
    slots: Vec<Option<Id>>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Stream {
    salt: Option<Box<str>>,
    tokens: Vec<u32>,
    /// Whose it is.
    slot: Option<usize>,
    /// When it was somebody's last.
    used: u64,
    /// Whether its cells may be other than its tokens say.
    spoiled: bool,
}

impl Stream {
    /// How much of a prompt it has.
    fn holds(&self, prompt: &[u32], salt: Option<&str>) -> usize {
        if self.spoiled || self.salt.as_deref() != salt {
            return 0;
        }
        self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }
}

impl Streams {
    /// At least as many streams as slots.
    pub(crate) fn new(slots: usize, streams: usize) -> Self {
        let streams = (0..streams.max(slots)).map(|_| Stream::default()).collect();
        Self { streams, slots: vec![None; slots], clock: 0 }
    }

    /// The stream of a slot that a sequence has.
    pub(crate) fn id(&self, slot: usize) -> Id {
        self.slots[slot].expect("a sequence begins before it has steps")
    }

    /// Tokens that a slot holds.
    pub(crate) fn held(&self, slot: usize) -> usize {
        self.streams[self.id(slot)].tokens.len()
    }

    /// See [`engine::Steps::begin`]; there is always room.
    pub(crate) fn begin(&mut self, start: Start<'_>, windows: &mut impl Windows) -> usize {
        self.clock += 1;
        // One token at least must be computed, as something has to follow it.
        let known = if start.anew { &[] } else { &start.prompt[..start.prompt.len() - 1] };
        let holds = |(id, stream): (Id, &Stream)| (stream.holds(known, start.salt), stream.slot.is_none(), id);
        let (held, idle, source) = self.streams.iter().enumerate().map(holds).max().unwrap_or_default();
        let goes_on = idle && held > 0 && 2 * held >= self.streams[source].tokens.len();
        let id = if goes_on { source } else { self.oldest_idle() };
        let held = match id == source {
            true => held,
            false if held < LEAST_COPIED => 0,
            false => {
                windows.copy(source, id);
                held
            }
        };
        windows.cut(id, held);
        self.streams[id] = Stream {
            salt: start.salt.map(Box::from),
            tokens: start.prompt[..held].to_vec(),
            slot: Some(start.slot),
            used: self.clock,
            spoiled: false,
        };
        self.slots[start.slot] = Some(id);
        held
    }

    /// A token of a slot has been computed.
    pub(crate) fn computed(&mut self, slot: usize, token: u32) {
        let id = self.id(slot);
        self.streams[id].tokens.push(token);
    }

    /// The cells of a slot may not be what its tokens say.
    pub(crate) fn spoiled(&mut self, slot: usize) {
        let id = self.id(slot);
        self.streams[id].spoiled = true;
    }

    /// See [`engine::Steps::end`].
    pub(crate) fn end(&mut self, slot: usize, windows: &mut impl Windows) {
        let Some(id) = self.slots[slot].take() else { return };
        self.clock += 1;
        let stream = &mut self.streams[id];
        (stream.slot, stream.used) = (None, self.clock);
        if stream.spoiled {
            windows.cut(id, 0);
            *stream = Stream::default();
        }
    }

    /// Before a step of these slots: the last of their streams moves into a gap between them, where there is an idle one. It
    /// leaves what it held so far behind for others.
    pub(crate) fn close_gap(&mut self, slots: impl Iterator<Item = usize>, windows: &mut impl Windows) {
        let (mut first, mut last, mut count) = (Id::MAX, 0, 0);
        for slot in slots {
            let id = self.id(slot);
            (first, last, count) = (first.min(id), last.max(id), count + 1);
        }
        if count == 0 || last - first < count {
            return;
        }
        let gaps = (first..last).filter(|&id| self.streams[id].slot.is_none());
        let Some(gap) = gaps.min_by_key(|&id| self.streams[id].used) else { return };
        windows.copy(last, gap);
        let left = &mut self.streams[last];
        let slot = left.slot.take();
        let moved = Stream { salt: left.salt.clone(), tokens: left.tokens.clone(), slot, ..*left };
        self.streams[gap] = moved;
        if let Some(slot) = slot {
            self.slots[slot] = Some(gap);
        }
    }

    /// The stream that nobody has used for longest; there is one for each slot.
    fn oldest_idle(&self) -> Id {
        let idle = self.streams.iter().enumerate().filter(|(_, stream)| stream.slot.is_none());
        idle.min_by_key(|(id, stream)| (stream.used, *id)).map_or(0, |(id, _)| id)
    }
}
