//! How models that run in this process share its memory. Whether they fit is seen at the start, on the machine itself.

use super::{
    limits::within,
    load::Reading,
    raw::{RawDeployment, RawLoad, RawLocal, RawWhileLoading},
};
use crate::residency::{Keep, Settings, WhileLoading};

/// Checks what is written; the rest is the default. None if a number is out of its range.
pub(super) fn check(reading: &mut Reading<'_>, raw: &RawLocal) -> Option<Settings> {
    let default = Settings::default();
    let keep_free = ("keep_free", "is no share of the memory that could be kept free");
    let keep_free = within(reading, keep_free, raw.keep_free.clone(), default.keep_free.into(), 0.0..=0.9);
    let waiting = ("waiting", "is no number of requests that could wait");
    let waiting = within(reading, waiting, raw.waiting.clone(), default.waiting as u64, 1..=100_000);
    Some(Settings {
        memory: raw.memory.as_ref().and_then(|memory| memory.value.0),
        keep_free: keep_free? as f32,
        unload_after: raw.unload_after.as_ref().map(|span| span.value.0),
        while_loading: match raw.while_loading.as_ref().map(|word| word.value) {
            None | Some(RawWhileLoading::Queue) => WhileLoading::Queue,
            Some(RawWhileLoading::Refuse) => WhileLoading::Refuse,
        },
        load_within: raw.load_within.as_ref().map_or(default.load_within, |span| span.value.0),
        waiting: waiting? as usize,
        packed_bytes: raw.packed_bytes.as_ref().map_or(default.packed_bytes, |bytes| bytes.value.0),
    })
}

/// How the model of a deployment is kept.
pub(super) fn keep(raw: &RawDeployment) -> Keep {
    Keep {
        on_demand: raw.load.as_ref().is_some_and(|load| load.value == RawLoad::Demand),
        pinned: raw.pinned.as_ref().is_some_and(|pinned| pinned.value),
    }
}
