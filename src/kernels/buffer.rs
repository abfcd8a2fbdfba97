//! Memory on cache-line boundaries: a list of cache lines that bytemuck casts, which needs no unsafe code and so no
//! crate for aligned memory.

use bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
struct CacheLine([u8; 64]);

/// Values that start on a cache line.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer<T> {
    lines: Vec<CacheLine>,
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
        let lines = vec![CacheLine::zeroed(); (len * size_of::<T>()).div_ceil(64)];
        Buffer { lines, len, values: std::marker::PhantomData }
    }

    /// At least `len` values, of which the old ones keep what they hold.
    pub fn reserve(&mut self, len: usize) {
        if len > self.len {
            self.lines.resize((len * size_of::<T>()).div_ceil(64), CacheLine::zeroed());
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
