//! How much memory there is: the machine's, or what a container or a batch system leaves of it.
//!
//! Control groups (cgroups) limit what a job may take, and Slurm and containers kill by them; a limit holds for every
//! group below it.

use std::path::Path;

use crate::error::{Error, Result};

/// Bytes that this process may take, where the system says.
pub fn bytes() -> Option<u64> {
    let text = |file: &str| std::fs::read_to_string(file).ok();
    let machine = text("/proc/meminfo").as_deref().and_then(total);
    let group = text("/proc/self/cgroup").and_then(|groups| limit(&groups, Path::new("/sys/fs/cgroup")));
    machine.into_iter().chain(group).min()
}

/// An error where `needed` bytes are more than there are; `what` needs them, and `advice` is what to do about it.
pub fn check(what: &str, needed: u64, advice: &str) -> Result<()> {
    match bytes() {
        Some(there) if needed > there => Err(Error::Mismatch(format!(
            "{what} needs some {} of memory, and there are {}; {advice}",
            shown(needed),
            shown(there)
        ))),
        _ => Ok(()),
    }
}

/// Bytes for people.
fn shown(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 10 << 30 => format!("{} GiB", bytes >> 30),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// The machine's memory, of the text of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?;
    Some(kilobytes.trim().parse::<u64>().ok()? << 10)
}

/// The least limit of the groups that `/proc/self/cgroup` names, and of all above them, in the file system of groups at
/// `root`: `memory.max` of version 2, `memory.limit_in_bytes` of version 1.
fn limit(groups: &str, root: &Path) -> Option<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (folder, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|c| c == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // Seen from within a container, the file system may begin at the group itself.
        for path in Path::new(group.trim_start_matches('/')).ancestors() {
            let text = std::fs::read_to_string(folder.join(path).join(file));
            limits.extend(text.ok().and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        assert_eq!(total("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(24576 << 10));
        let root = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        put("memory.max", "max\n");
        put("slurm/memory.max", "4000\n");
        put("slurm/job_7/memory.max", "max\n");
        put("slurm/job_7/step_0/memory.max", "5000\n");
        put("memory/docker/memory.limit_in_bytes", "3000\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let of = |groups: &str| limit(groups, root.path());
        assert_eq!(of("0::/slurm/job_7/step_0\n"), Some(4000));
        assert_eq!(of("0::/\n"), None);
        assert_eq!(of("12:cpu,cpuacct:/x\n5:memory:/docker\n"), Some(3000));
        assert_eq!(of("5:memory:/elsewhere\n"), Some(9_223_372_036_854_771_712));
        assert_eq!(of(""), None);
    }

    #[test]
    fn what_does_not_fit_is_said_with_both_sizes() {
        assert!(check("nothing", 0, "").is_ok());
        let error = check("everything", u64::MAX, "lower --batch").err();
        if let (Some(error), Some(_)) = (error, bytes()) {
            assert!(error.to_string().contains("lower --batch"), "{error}");
        }
    }
}
