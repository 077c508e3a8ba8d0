//! How much memory this process may still take: of the host, and of its control groups.
//!
//! Needs: `/proc/meminfo`, and the files of cgroup v2. Gives: bytes that can be allocated
//! without making the host swap or its groups kill. What a group's page cache has is counted
//! as free, as the kernel does for the host.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the numbers are read.
#[derive(Clone, Debug)]
pub struct HostMemory {
    meminfo: PathBuf,
    /// The process's group, and those above it.
    groups: Vec<PathBuf>,
}

impl HostMemory {
    /// Of this process.
    pub fn of_this_process() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::at(Path::new("/proc/meminfo"), Path::new("/sys/fs/cgroup"), &groups)
    }

    /// Of a process whose `/proc/PID/cgroup` is `groups`, in a tree that is mounted at `root`.
    fn at(meminfo: &Path, root: &Path, groups: &str) -> Self {
        // Only v2 has a line without controllers. A path with `..` is outside of what is mounted.
        let path = groups.lines().find_map(|line| line.strip_prefix("0::/"));
        let path = Path::new(path.unwrap_or_default());
        let inside = !path.components().any(|part| part == std::path::Component::ParentDir);
        let path = if inside { path } else { Path::new("") };
        let groups = path.ancestors().map(|group| root.join(group)).collect();
        Self { meminfo: meminfo.to_owned(), groups }
    }

    /// How many bytes can still be taken; `None` if nothing says so.
    pub fn available(&self) -> Option<u64> {
        let host = fs::read_to_string(&self.meminfo).ok();
        let host = host.and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        });
        self.groups.iter().filter_map(|group| left_in(group)).chain(host).min()
    }
}

/// What is left of a group's limits; `None` if it has none.
fn left_in(group: &Path) -> Option<u64> {
    let number = |name| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    // `max`, which is no limit, is no number. Above `memory.high`, each allocation is delayed.
    let limit = [number("memory.max"), number("memory.high")].into_iter().flatten().min()?;
    let used = number("memory.current")?;
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let reclaimable = |name: &str| {
        let line = statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    };
    let free: u64 = ["inactive_file", "slab_reclaimable"].map(reclaimable).iter().sum();
    Some(limit.saturating_sub(used.saturating_sub(free)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A host with 1000 MiB, and these files in its groups.
    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let meminfo = "MemTotal:  2048000 kB\nMemFree:  1 kB\nMemAvailable:   1024000 kB\n";
        fs::write(folder.path().join("meminfo"), meminfo).unwrap();
        for (path, text) in files {
            let path = folder.path().join("cgroup").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        folder
    }

    fn available(host: &tempfile::TempDir, groups: &str) -> Option<u64> {
        let (meminfo, root) = (host.path().join("meminfo"), host.path().join("cgroup"));
        HostMemory::at(&meminfo, &root, groups).available()
    }

    #[test]
    fn the_tightest_limit_up_the_tree_counts() {
        let host = host(&[
            ("a/memory.max", "524288000"),
            ("a/memory.current", "209715200"),
            ("a/b/memory.max", "max"),
            ("a/b/memory.current", "104857600"),
            ("a/b/c/memory.max", "max"),
            ("a/b/c/memory.high", "419430400"),
            ("a/b/c/memory.current", "4096"),
        ]);
        assert_eq!(available(&host, "0::/a/b/c\n"), Some(300 * MIB));
        assert_eq!(available(&host, "0::/a/b\n"), Some(300 * MIB));
        assert_eq!(available(&host, "0::/\n"), Some(1000 * MIB));
        assert_eq!(available(&host, "0::/gone\n"), Some(1000 * MIB));
    }

    #[test]
    fn page_cache_of_a_group_counts_as_free_and_its_high_mark_as_a_limit() {
        let host = host(&[
            ("a/memory.max", "max"),
            ("a/memory.high", "209715200"),
            ("a/memory.current", "157286400"),
            ("a/memory.stat", "anon 1\ninactive_file 52428800\nslab_reclaimable 10485760"),
        ]);
        assert_eq!(available(&host, "0::/a\n"), Some(110 * MIB));
    }

    #[test]
    fn a_group_that_is_full_leaves_nothing() {
        let files = [("a/memory.max", "4096"), ("a/memory.current", "8192")];
        assert_eq!(available(&host(&files), "0::/a\n"), Some(0));
    }

    #[test]
    fn what_is_no_limit_is_none() {
        let files = [
            ("a/memory.max", "-1"),
            ("a/memory.current", "x"),
            ("memory.max", "4096"),
            ("b/memory.max", "4096"),
        ];
        let host = host(&files);
        for groups in ["0::/a\n", "4:memory:/b\n", "0::/../b\n", "", "0:\n"] {
            assert_eq!(available(&host, groups), Some(1000 * MIB), "{groups}");
        }
        fs::remove_file(host.path().join("meminfo")).unwrap();
        assert_eq!(available(&host, "0::/a\n"), None);
    }
}
