//! Which instruction sets the processor and its operating system offer.

use std::sync::OnceLock;

/// A way to multiply integers, from the one that every processor has to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instructions {
    /// What the compiler makes of plain loops.
    Portable,
    /// AVX2: products of bytes in pairs.
    Avx2,
    /// AVX-VNNI: dot products of four bytes in eight lanes.
    AvxVnni,
    /// AVX-512 VNNI: dot products of four bytes in sixteen lanes.
    Vnni,
    /// Intel AMX: products of 16x64 by 64x16 bytes in tile registers.
    Amx,
}

impl Instructions {
    /// The fastest set there is.
    pub fn best() -> Self {
        *Self::available().last().unwrap_or(&Instructions::Portable)
    }

    /// All sets there are, slowest first.
    pub fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Instructions>> = OnceLock::new();
        AVAILABLE.get_or_init(detect)
    }
}

fn detect() -> Vec<Instructions> {
    let mut found = vec![Instructions::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            found.push(Instructions::Avx2);
            if is_x86_feature_detected!("avxvnni") {
                found.push(Instructions::AvxVnni);
            }
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
        {
            found.push(Instructions::Vnni);
            if super::amx::enable() {
                found.push(Instructions::Amx);
            }
        }
    }
    found
}
