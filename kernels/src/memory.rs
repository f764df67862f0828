//! Memory for weights: zeroed and of the program's own, or a file's, mapped.
//!
//! Weights are read whole for every token. In pages of 4 KiB the CPU spends a good part of that on looking up where each
//! lies; Linux gives anonymous memory pages of 2 MiB to who asks. Only whole ones are asked for, so none is wasted. A file's
//! pages are as large as its file system keeps them.

use std::{fs::File, io, ops::Range, sync::Arc};

use memmap2::{Mmap, MmapMut};

/// A large page.
const LARGE: usize = 2 << 20;

/// The bytes of a file, mapped to be read.
#[derive(Debug)]
pub struct Mapped(Mmap);

impl Mapped {
    /// Maps a file, which must not be changed or cut while it is in use: who has another one renames it over this one.
    ///
    /// # Errors
    /// When the system does not map it.
    pub fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the map is only ever read. Rust cannot see another process writing to the file; that is excluded by the
        // contract above, as for every program that maps its model.
        unsafe { Mmap::map(file) }.map(Self)
    }

    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Has the system read them ahead, where it can be told to.
    pub fn ahead(&self) {
        #[cfg(all(unix, not(miri)))]
        {
            // Without it pages are read as they are asked for: slower and just as right.
            let _ = self.0.advise(memmap2::Advice::WillNeed);
        }
    }
}

#[derive(Debug)]
pub(crate) enum Memory {
    Own { map: MmapMut, bytes: Range<usize> },
    Shared { map: Arc<Mapped>, bytes: Range<usize> },
}

impl Memory {
    pub(crate) fn zeroed(len: usize) -> io::Result<Self> {
        if len < LARGE {
            // A map of nothing is none.
            return Ok(Memory::Own { map: MmapMut::map_anon(len.max(1))?, bytes: 0..len });
        }
        // Room to begin where a large page does; what is never touched takes no memory.
        let map = MmapMut::map_anon(len.checked_add(LARGE).ok_or(io::ErrorKind::OutOfMemory)?)?;
        let start = map.as_ptr().align_offset(LARGE).min(LARGE);
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            // Without large pages it is slower and just as right.
            let _ = map.advise_range(memmap2::Advice::HugePage, start, len / LARGE * LARGE);
        }
        Ok(Memory::Own { map, bytes: start..start + len })
    }

    /// Some bytes of a file; none if they leave it.
    pub(crate) fn shared(map: &Arc<Mapped>, at: usize, len: usize) -> Option<Self> {
        let bytes = at..at.checked_add(len)?;
        map.bytes().get(bytes.clone())?;
        Some(Memory::Shared { map: Arc::clone(map), bytes })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Memory::Own { map, bytes } => &map[bytes.clone()],
            Memory::Shared { map, bytes } => &map.bytes()[bytes.clone()],
        }
    }

    /// None of what is shared.
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Memory::Own { map, bytes } => Some(&mut map[bytes.clone()]),
            Memory::Shared { .. } => None,
        }
    }
}
