//! How much memory this process may use: what the machine has, or less where its cgroup says so.

use std::path::{Path, PathBuf};

/// Bytes; `None` where the system does not tell.
pub(super) fn memory_bytes() -> Option<u64> {
    below(Path::new("/"))
}

/// The same for a system whose files lie below `root`.
fn below(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| limits_of(&root.join("sys/fs/cgroup"), line));
    total(root).into_iter().chain(limits).min()
}

/// `MemTotal`, which is told in KiB.
fn total(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// Limits of a line of `/proc/self/cgroup`, the group's own and those above it. Within a container the path may lead
/// nowhere; the container's own group is the root there.
fn limits_of(cgroups: &Path, line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (base, file) = match controllers {
        "" => (cgroups.to_owned(), "memory.max"),
        some if some.split(',').any(|one| one == "memory") => {
            (cgroups.join("memory"), "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let group = Path::new(path.trim_start_matches('/'));
    let folders: Vec<PathBuf> = group.ancestors().map(|folder| base.join(folder)).collect();
    let texts = folders.iter().filter_map(|folder| std::fs::read_to_string(folder.join(file)).ok());
    // `max` is no number, and no limit.
    texts.filter_map(|text| text.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the disk works");
        std::fs::write(path, text).expect("the disk works");
    }

    #[test]
    fn the_least_limit_counts() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let root = root.path();
        assert_eq!(below(root), None);
        write(root, "proc/meminfo", "MemTotal:       16384 kB\nMemFree:  1 kB\n");
        assert_eq!(below(root), Some(16 << 20));
        write(root, "proc/self/cgroup", "0::/pods/one\n");
        write(root, "sys/fs/cgroup/pods/one/memory.max", "max\n");
        assert_eq!(below(root), Some(16 << 20));
        write(root, "sys/fs/cgroup/pods/memory.max", "8388608\n");
        assert_eq!(below(root), Some(8 << 20));
        write(root, "sys/fs/cgroup/memory.max", "4194304\n");
        assert_eq!(below(root), Some(4 << 20), "the container's own");
    }

    #[test]
    fn groups_of_version_1_count_too() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let root = root.path();
        write(root, "proc/meminfo", "MemTotal:       16384 kB\n");
        write(root, "proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
        write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        write(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n");
        assert_eq!(below(root), Some(1 << 20));
    }
}
