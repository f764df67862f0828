//! Memory for weights: zeroed, at the start of a page, in large pages where the system has them.
//!
//! Weights are read whole for every token. In pages of 4 KiB the CPU spends a good part of that on looking up where each
//! lies; Linux gives anonymous memory pages of 2 MiB to who asks. Only whole ones are asked for, so none is wasted.

use std::io;

use memmap2::MmapMut;

/// A large page.
const LARGE: usize = 2 << 20;

#[derive(Debug)]
pub(crate) struct Memory {
    map: MmapMut,
    start: usize,
    len: usize,
}

impl Memory {
    pub(crate) fn zeroed(len: usize) -> io::Result<Self> {
        if len < LARGE {
            // A map of nothing is none.
            return Ok(Memory { map: MmapMut::map_anon(len.max(1))?, start: 0, len });
        }
        // Room to begin where a large page does; what is never touched takes no memory.
        let map = MmapMut::map_anon(len.checked_add(LARGE).ok_or(io::ErrorKind::OutOfMemory)?)?;
        let start = map.as_ptr().align_offset(LARGE).min(LARGE);
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            // Without large pages it is slower and just as right.
            let _ = map.advise_range(memmap2::Advice::HugePage, start, len / LARGE * LARGE);
        }
        Ok(Memory { map, start, len })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.len]
    }
}
