//! What each window of an engine's keys and values holds, where every sequence has one of its own.
//!
//! A window keeps what its last sequence left. A sequence that begins takes over the window whose tokens begin as its prompt
//! does for longest; where another sequence is still in there, or would have more use of it, it gets a copy. Windows with
//! different salts never meet. What has to happen to their contents is asked of [`Contents`].

#[cfg(test)]
mod tests;

use crate::scheduler::Start;

/// A copy is of a whole window, however little of it is needed: fewer tokens are computed sooner.
const LEAST_COPIED: usize = 32;

/// What can be done with the contents of windows, each known by its number.
pub trait Contents {
    /// Puts the first `len` tokens of one window into another, or more than those; its own are gone.
    fn copy(&mut self, of: usize, to: usize, len: usize);
    /// Takes what there is from a position on away.
    fn cut(&mut self, window: usize, from: usize);
}

/// See the module.
#[derive(Debug)]
pub struct Windows {
    windows: Vec<Window>,
    /// The window of each slot.
    slots: Vec<Option<usize>>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Window {
    salt: Option<Box<str>>,
    tokens: Vec<u32>,
    /// Whose it is.
    slot: Option<usize>,
    /// When it was somebody's last.
    used: u64,
    /// Whether its cells may be other than its tokens say.
    spoiled: bool,
}

impl Window {
    /// How much of a prompt it has.
    fn holds(&self, prompt: &[u32], salt: Option<&str>) -> usize {
        if self.spoiled || self.salt.as_deref() != salt {
            return 0;
        }
        self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }
}

impl Windows {
    /// At least as many windows as slots.
    pub fn new(slots: usize, windows: usize) -> Self {
        let windows = (0..windows.max(slots)).map(|_| Window::default()).collect();
        Self { windows, slots: vec![None; slots], clock: 0 }
    }

    /// The window of a slot that has a sequence.
    ///
    /// # Panics
    /// The slot has none.
    pub fn of(&self, slot: usize) -> usize {
        self.slots[slot].expect("a sequence begins before it has steps")
    }

    /// Tokens that a slot holds.
    pub fn held(&self, slot: usize) -> usize {
        self.windows[self.of(slot)].tokens.len()
    }

    /// See [`Steps::begin`](crate::Steps::begin); there is always room.
    pub fn begin(&mut self, start: Start<'_>, contents: &mut impl Contents) -> usize {
        self.clock += 1;
        // One token at least must be computed, as something has to follow it.
        let known = if start.anew { &[] } else { &start.prompt[..start.prompt.len() - 1] };
        let holds = |(id, window): (usize, &Window)| (window.holds(known, start.salt), window.slot.is_none(), id);
        let (held, idle, source) = self.windows.iter().enumerate().map(holds).max().unwrap_or_default();
        let goes_on = idle && held > 0 && 2 * held >= self.windows[source].tokens.len();
        let id = if goes_on { source } else { self.oldest_idle() };
        let held = match id == source {
            true => held,
            false if held < LEAST_COPIED => 0,
            false => {
                contents.copy(source, id, held);
                held
            }
        };
        contents.cut(id, held);
        self.windows[id] = Window {
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
    pub fn computed(&mut self, slot: usize, token: u32) {
        let id = self.of(slot);
        self.windows[id].tokens.push(token);
    }

    /// All but the first `len` tokens of a slot are forgotten.
    pub fn forget(&mut self, slot: usize, len: usize, contents: &mut impl Contents) {
        let id = self.of(slot);
        self.windows[id].tokens.truncate(len);
        contents.cut(id, len);
    }

    /// The cells of a slot may not be what its tokens say.
    pub fn spoiled(&mut self, slot: usize) {
        let id = self.of(slot);
        self.windows[id].spoiled = true;
    }

    /// See [`Steps::end`](crate::Steps::end).
    pub fn end(&mut self, slot: usize, contents: &mut impl Contents) {
        let Some(id) = self.slots[slot].take() else { return };
        self.clock += 1;
        let window = &mut self.windows[id];
        (window.slot, window.used) = (None, self.clock);
        if window.spoiled {
            contents.cut(id, 0);
            *window = Window::default();
        }
    }

    /// For engines that compute together only windows that stand side by side, before a step of these slots: the last of their
    /// windows moves into a gap between them, where there is an idle one. It leaves what it held so far behind for others.
    pub fn close_gap(&mut self, slots: impl Iterator<Item = usize>, contents: &mut impl Contents) {
        let (mut first, mut last, mut count) = (usize::MAX, 0, 0);
        for slot in slots {
            let id = self.of(slot);
            (first, last, count) = (first.min(id), last.max(id), count + 1);
        }
        if count == 0 || last - first < count {
            return;
        }
        let gaps = (first..last).filter(|&id| self.windows[id].slot.is_none());
        let Some(gap) = gaps.min_by_key(|&id| self.windows[id].used) else { return };
        contents.copy(last, gap, self.windows[last].tokens.len());
        let left = &mut self.windows[last];
        let slot = left.slot.take();
        let moved = Window { salt: left.salt.clone(), tokens: left.tokens.clone(), slot, ..*left };
        self.windows[gap] = moved;
        if let Some(slot) = slot {
            self.slots[slot] = Some(gap);
        }
    }

    /// The window that nobody has used for longest; there is one for each slot.
    fn oldest_idle(&self) -> usize {
        let idle = self.windows.iter().enumerate().filter(|(_, window)| window.slot.is_none());
        idle.min_by_key(|(id, window)| (window.used, *id)).map_or(0, |(id, _)| id)
    }
}
