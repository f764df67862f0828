//! A prompt as a chain of hashes: each stands for all of the prompt up to the end of its block.
//!
//! Blocks end at fixed positions, whatever the prompt's length, so that a conversation which has grown begins with the
//! blocks that it had before: each 256 bytes up to 16 KiB, then each KiB up to 64 KiB, then each 4 KiB up to 640 KiB.
//! What follows the last whole block is not told apart. Hashed is not the body but what it says: tools, then each turn
//! with its role, so that white space, the order of keys and fields which do not reach the model change nothing.

use rapidhash::v3::{RapidSecrets, rapidhash_v3, rapidhash_v3_seeded};

use crate::{Input, Message, Part, Prompt};

/// Blocks of one size, up to a length of the prompt in bytes.
const SIZES: [(usize, usize); 3] = [(256, 16 << 10), (1 << 10, 64 << 10), (4 << 10, usize::MAX)];
/// The largest block.
const LARGEST: usize = 4 << 10;
/// Mixes hashes of pieces, so that their order counts: the golden ratio as 64 bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Blocks of the longest chain.
const MOST: usize = 256;

/// Whose prompt it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// The team, if any.
    pub team: Option<&'a str>,
    /// What the caller says that this request goes on with: a session, or a group of prompts with one prefix.
    pub session: Option<&'a str>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Of the caller's session.
    pub(super) session: Option<u64>,
    /// One a block.
    pub(super) blocks: Vec<u64>,
    /// Bytes of the whole prompt.
    bytes: usize,
    /// Tokens of the whole prompt, about.
    pub(super) tokens: u32,
}

impl Chain {
    /// The chain of what is asked, a prompt of about `tokens`. `None` where that is no single prompt, or so short a one
    /// that it has no block, and no session is named.
    pub(super) fn of(secrets: &RapidSecrets, asker: Asker<'_>, input: &Input, tokens: u64) -> Option<Self> {
        let team = match asker.team {
            Some(team) => rapidhash_v3_seeded(team.as_bytes(), secrets),
            None => 0,
        };
        let session = asker.session.map(|session| {
            let session = rapidhash_v3_seeded(session.as_bytes(), secrets);
            // Not what a block of the same bytes would be.
            joined(secrets, !team, session)
        });
        let mut writer = Writer::new(secrets, team);
        match input {
            Input::Chat { messages, tools, template_kwargs } => {
                writer.part(b't', tools.as_deref().unwrap_or_default().as_bytes());
                writer.part(b'k', template_kwargs.as_deref().unwrap_or_default().as_bytes());
                messages.iter().for_each(|message| writer.turn(message));
            }
            Input::Prompts(prompts) => match prompts.as_slice() {
                [Prompt::Text(text)] => writer.write(text.as_bytes()),
                [Prompt::Tokens(tokens)] => tokens.iter().for_each(|token| writer.write(&token.to_le_bytes())),
                _ => return None,
            },
            _ => return None,
        }
        let Writer { blocks, bytes, .. } = writer;
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        (session.is_some() || !blocks.is_empty()).then_some(Self { session, blocks, bytes, tokens })
    }

    /// Tokens before the end of the `count`th block, about.
    pub(super) fn tokens_of(&self, count: usize) -> u32 {
        let share = end_of(count) as f64 / self.bytes.max(1) as f64;
        (f64::from(self.tokens) * share.min(1.0)) as u32
    }
}

/// A name for what the requests of one conversation have in common, the same at every gateway: the caller's session, else
/// the prompt up to and with its first user turn. `None` for what is no conversation.
pub fn conversation(asker: Asker<'_>, input: &Input) -> Option<String> {
    let team = asker.team.unwrap_or_default().as_bytes();
    let named = |pieces: &mut dyn Iterator<Item = &[u8]>| Some(format!("{:016x}", digest(pieces)));
    if let Some(session) = asker.session {
        return named(&mut [team, session.as_bytes()].into_iter());
    }
    let Input::Chat { messages, tools, .. } = input else { return None };
    let first = messages.iter().position(|message| message.role == "user")?;
    let said = messages[..=first].iter().flat_map(|message| &message.content).map(|part| match part {
        Part::Text(text) => text.as_bytes(),
        Part::Other { kind, .. } => kind.as_bytes(),
    });
    named(&mut [team, tools.as_deref().unwrap_or_default().as_bytes()].into_iter().chain(said))
}

/// The hash of what a part holds that is not text.
pub fn digest<'a>(held: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    held.into_iter().fold(0_u64, |hash, piece| hash.rotate_left(23).wrapping_mul(ODD).wrapping_add(rapidhash_v3(piece)))
}

/// How long the next block is, after so many bytes.
fn size_after(bytes: usize) -> usize {
    SIZES.iter().find(|(_, until)| bytes < *until).map_or(LARGEST, |(size, _)| *size)
}

/// Bytes of the first `count` blocks.
fn end_of(count: usize) -> usize {
    let (mut left, mut end) = (count, 0);
    for (size, until) in SIZES {
        let here = left.min((until - end) / size);
        end += here * size;
        left -= here;
    }
    end
}

/// The hash of what goes on with `hash` after `before`.
fn joined(secrets: &RapidSecrets, before: u64, hash: u64) -> u64 {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&before.to_le_bytes());
    both[8..].copy_from_slice(&hash.to_le_bytes());
    rapidhash_v3_seeded(&both, secrets)
}

/// Cuts what is written into blocks.
struct Writer<'s> {
    secrets: &'s RapidSecrets,
    /// Of all blocks so far.
    hash: u64,
    blocks: Vec<u64>,
    bytes: usize,
    /// What the next block has so far, and how long it will be.
    held: [u8; LARGEST],
    filled: usize,
    size: usize,
}

impl<'s> Writer<'s> {
    fn new(secrets: &'s RapidSecrets, hash: u64) -> Self {
        Self { secrets, hash, blocks: Vec::new(), bytes: 0, held: [0; LARGEST], filled: 0, size: size_after(0) }
    }

    fn turn(&mut self, turn: &Message) {
        self.part(b'r', turn.role.as_bytes());
        for (tag, said) in [(b'n', &turn.name), (b'i', &turn.tool_call_id), (b'z', &turn.reasoning)] {
            if let Some(said) = said {
                self.part(tag, said.as_bytes());
            }
        }
        for part in &turn.content {
            match part {
                Part::Text(text) => self.part(b'x', text.as_bytes()),
                Part::Other { kind, digest, .. } => {
                    self.part(b'o', kind.as_bytes());
                    self.part(b'd', &digest.to_le_bytes());
                }
            }
        }
        for call in &turn.tool_calls {
            self.part(b'c', call.id.as_bytes());
            self.part(b'f', call.name.as_bytes());
            self.part(b'a', call.arguments.as_bytes());
        }
    }

    /// Something with a word before it that says what it is, as a text alone would not.
    fn part(&mut self, tag: u8, text: &[u8]) {
        self.write(&[0, tag]);
        self.write(text);
    }

    fn write(&mut self, mut text: &[u8]) {
        self.bytes += text.len();
        while self.blocks.len() < MOST && !text.is_empty() {
            // Mostly a text is longer than a block, and need not be copied.
            if self.filled == 0 && text.len() >= self.size {
                let (block, rest) = text.split_at(self.size);
                self.end(rapidhash_v3_seeded(block, self.secrets));
                text = rest;
                continue;
            }
            let (some, rest) = text.split_at(text.len().min(self.size - self.filled));
            self.held[self.filled..self.filled + some.len()].copy_from_slice(some);
            self.filled += some.len();
            text = rest;
            if self.filled == self.size {
                self.end(rapidhash_v3_seeded(&self.held[..self.size], self.secrets));
            }
        }
    }

    fn end(&mut self, block: u64) {
        self.hash = joined(self.secrets, self.hash, block);
        self.blocks.push(self.hash);
        self.filled = 0;
        self.size = size_after(end_of(self.blocks.len()));
    }
}
