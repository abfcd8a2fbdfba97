//! Memory that is asked for before it is read.
//!
//! A read at a place that looks random waits for the second cache or the third. Where the places of many reads are
//! known before the first of them, the processor brings all of them while other arithmetic goes on.

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Asks for the memory that a value takes, which changes no result. Nothing is asked where Rust has no stable
/// instruction for it.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    for byte in (0..size_of::<T>()).step_by(LINE).chain([size_of::<T>().saturating_sub(1)]) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that a program sees, and the address is the value's own.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast::<i8>().add(byte)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, LINE);
}
