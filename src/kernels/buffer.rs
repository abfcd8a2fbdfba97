//! Memory on cache-line boundaries.

use bytemuck::{Pod, Zeroable};

/// Keeps freed memory for the next of its kind, where the allocator can be told so (glibc). Layers take and free buffers
/// of megabytes at every pass; handing them back to the system each time costs a fifth of a training step.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        const TRIM_THRESHOLD: i32 = -1;
        const MMAP_MAX: i32 = -4;
        const ARENA_MAX: i32 = -8;
        // SAFETY: glibc documents these parameters; it refuses what it does not know.
        unsafe {
            mallopt(ARENA_MAX, 1);
            mallopt(MMAP_MAX, 0);
            mallopt(TRIM_THRESHOLD, -1);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Values that start on a cache line.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer<T> {
    lines: Vec<Line>,
    len: usize,
    values: std::marker::PhantomData<T>,
}

impl<T: Pod> Default for Buffer<T> {
    fn default() -> Self {
        Buffer { lines: Vec::new(), len: 0, values: std::marker::PhantomData }
    }
}

impl<T: Pod> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let lines = vec![Line::zeroed(); (len * size_of::<T>()).div_ceil(64)];
        Buffer { lines, len, values: std::marker::PhantomData }
    }

    /// At least `len` values, of which the old ones keep what they hold.
    pub fn reserve(&mut self, len: usize) {
        if len > self.len {
            self.lines.resize((len * size_of::<T>()).div_ceil(64), Line::zeroed());
            self.len = len;
        }
    }
}

impl<T: Pod> std::ops::Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl<T: Pod> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}
