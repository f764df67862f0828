//! A model that is loaded and unloaded a thousand times leaves nothing behind. A test of its own, since it looks at the
//! memory of its process, with the allocator of the binary.

use std::{path::PathBuf, sync::Arc, time::Duration};

use backends::{Backend as _, BackendId};
use futures_util::StreamExt as _;
use gateway::{
    residency::{Failure, Keep, Machine, Settings, State, blocking},
    wire::{self, ClientApi},
};
use native::{Engine, Options, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CYCLES: usize = 1_000;
/// Cycles that are looked at, first and last: the least of them, since the allocator gives pages back a little later.
const WINDOW: usize = 50;
/// Memory moved between 47 and 61 MB over 8,000 cycles, by which pages the allocator kept, and did not grow; the engine takes
/// 12 MB. A cycle that left 16 KiB behind would show.
const NEAR: u64 = 16 << 20;

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "looks at /proc")]
async fn memory_is_where_it_was_after_a_thousand_loads_and_unloads() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/models/pointsman-demo.gguf"));
    let settings = Settings { unload_after: Some(Duration::ZERO), ..Settings::default() };
    let machine = Arc::new(Machine::new(settings, 1 << 30));
    let loader = blocking(move |_| {
        let options = Options { threads: Some(1), ..Options::default() };
        let engine = Engine::load(BackendId::new("demo"), Source::File(path.clone()), options);
        Ok(Arc::new(engine.map_err(|error| Failure(error.to_string()))?))
    });
    let keep = Keep { on_demand: true, pinned: false };
    let demo = machine.resident(BackendId::new("demo"), 32 << 20, keep, loader);
    let body = r#"{"model": "auto", "stream": true, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}"#;
    let request = Arc::new(wire::decode(ClientApi::Chat, "r", body.into()).unwrap().request);
    let (mut first, mut last) = (u64::MAX, u64::MAX);
    for cycle in 0..CYCLES {
        let mut events = demo.generate(Arc::clone(&request)).await.unwrap();
        while let Some(event) = events.next().await {
            event.unwrap();
        }
        drop(events);
        machine.tend();
        while demo.status().unwrap().state != State::Unloaded || machine.memory().1 > 0 {
            tokio::task::yield_now().await;
        }
        if (WINDOW..2 * WINDOW).contains(&cycle) {
            first = first.min(resident());
        } else if cycle >= CYCLES - WINDOW {
            last = last.min(resident());
        }
    }
    let status = demo.status().unwrap();
    assert_eq!((status.loads, status.unloads), (CYCLES as u64, CYCLES as u64));
    assert!(last < first + NEAR, "{first} bytes after {WINDOW} cycles, {last} after {CYCLES}");
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 64, "{threads} threads: those of engines end with them");
}
