//! How much memory this machine has, and how much of it is available: of Linux, by its control group where one bounds it.
//!
//! A group of version 2 counts cached files as used; those that were not asked for lately go first when memory runs short,
//! so they count as available here, as in `MemAvailable`. Where nothing is told (another system), nothing is known.

use std::{fs, path::Path};

/// The memory of a machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What could be had without pushing anything out that is in use.
    pub available: u64,
}

impl Memory {
    /// That of this machine now. Reads a few files of the kernel's, which block nobody.
    pub fn now() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    /// The share that is available: 0 to 1.
    pub fn free(self) -> f32 {
        self.available as f32 / self.total.max(1) as f32
    }

    fn below(root: &Path) -> Option<Self> {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let meminfo = text("proc/meminfo")?;
        let kib = |key| line(&meminfo, key)?.strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024);
        let machine = Self { total: kib("MemTotal:")?, available: kib("MemAvailable:")? };
        // Of version 2 there is one line, with no controller between the colons.
        let own = text("proc/self/cgroup").and_then(|groups| line(&groups, "0::").map(str::to_owned));
        let groups = own.as_deref().unwrap_or("/").trim_start_matches('/').to_owned();
        // A group is bounded by those that it is in as well.
        let all = Path::new(&groups).ancestors().filter_map(|group| Self::of_group(root, group));
        Some(all.fold(machine, |least, group| Self {
            total: least.total.min(group.total),
            available: least.available.min(group.available),
        }))
    }

    fn of_group(root: &Path, group: &Path) -> Option<Self> {
        let folder = root.join("sys/fs/cgroup").join(group);
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        // `max` where there is no bound.
        let total: u64 = text("memory.max")?.trim().parse().ok()?;
        let used: u64 = text("memory.current")?.trim().parse().ok()?;
        let stat = text("memory.stat").unwrap_or_default();
        let cached: u64 = line(&stat, "inactive_file ").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        Some(Self { total, available: total.saturating_sub(used.saturating_sub(cached)) })
    }
}

/// What follows on the line that begins so.
fn line<'t>(text: &'t str, begins: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(begins)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Option<Memory> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Memory::below(root.path())
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       1000 kB\nMemFree:        10 kB\nMemAvailable:    400 kB\n");

    #[test]
    fn without_a_bound_it_is_the_machine_s() {
        let kib = |total: u64, available: u64| Some(Memory { total: total << 10, available: available << 10 });
        assert_eq!(machine(&[MEMINFO]), kib(1000, 400));
        let free = [MEMINFO, ("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(machine(&free), kib(1000, 400));
        assert_eq!(machine(&[]), None, "another system");
    }

    #[test]
    fn the_tightest_group_bounds_it_and_cached_files_count_as_available() {
        let found = machine(&[
            MEMINFO,
            ("proc/self/cgroup", "1:cpu:/x\n0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "102400"),
            ("sys/fs/cgroup/a/memory.current", "92160"),
            ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 20480\nactive_file 7\n"),
            ("sys/fs/cgroup/a/b/memory.max", "204800"),
            ("sys/fs/cgroup/a/b/memory.current", "0"),
        ]);
        assert_eq!(found, Some(Memory { total: 102_400, available: 30_720 }));
        assert!((found.unwrap().free() - 0.3).abs() < 1e-6);
    }
}
