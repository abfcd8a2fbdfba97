//! Peak resident memory of this process, from Linux's `/proc`; elsewhere it is not measured.

/// Forgets the peak so far: from here on it is that of what runs next, and of what is held already.
pub fn reset() {
    // Where the system refuses, the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak since the last [`reset`], in bytes.
pub fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?;
    Some(kilobytes.trim().parse::<u64>().ok()? << 10)
}
