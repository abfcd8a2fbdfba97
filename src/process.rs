//! What a process that runs crosspike and nothing else asks of its allocator.

/// Keeps freed memory for the next of its kind, where the allocator can be told so (glibc). Layers take and free
/// buffers of megabytes at every pass; handing them back to the system each time costs a fifth of a training step.
pub fn keep_freed_memory() {
    // SAFETY: glibc documents these parameters; it refuses what it does not know.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}
