//! How wide the vectors are that the compiler makes of plain loops.

use std::sync::OnceLock;

use super::Instructions;

/// Vectors of plain loops, the narrowest first. Which are taken never shows in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vectors {
    /// The vectors that every processor of the build's target has: 128 bits on x86-64 (SSE2) and Arm (NEON).
    Narrow,
    /// AVX2: 256 bits.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL), 512 bits, with POPCNT.
    Avx512,
}

impl Vectors {
    /// The widest that there are, beside the instructions that were asked for.
    pub fn best() -> Self {
        static BEST: OnceLock<Vectors> = OnceLock::new();
        *BEST.get_or_init(|| {
            let forced = Instructions::forced().unwrap_or_else(|error| panic!("{error}"));
            forced.map_or(Vectors::Avx512, Self::beside).min(detect())
        })
    }

    /// The widest that are used beside a set of instructions that was asked for.
    fn beside(forced: Instructions) -> Self {
        match forced {
            Instructions::Portable => Vectors::Narrow,
            Instructions::Avx2 | Instructions::AvxVnni => Vectors::Avx2,
            Instructions::Vnni | Instructions::Amx => Vectors::Avx512,
        }
    }
}

fn detect() -> Vectors {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("popcnt");
        return if all { Vectors::Avx512 } else { Vectors::Avx2 };
    }
    Vectors::Narrow
}

/// Keeps a loop over rows of sixteen lanes from being made into vectors of one lane of many rows, which would have to
/// be gathered and scattered: the compiler cannot see through the items, and so makes vectors of a row's lanes.
#[inline(always)]
pub fn one_by_one<I: Iterator>(items: I) -> impl Iterator<Item = I::Item> {
    items.inspect(|_| _ = std::hint::black_box(0u8))
}

/// Compiles a function of plain loops once for each width of vectors and runs that of [`Vectors::best`]. No width may
/// change a result: Rust neither reorders additions nor joins them with multiplications. `up to avx2` leaves out
/// AVX-512, for loops that are shorter than its vectors or that compilers make too much of. Arguments are plain names.
#[cfg_attr(feature = "internals", macro_export)]
macro_rules! vectorised {
    (@for $least:ident $features:literal ($($arg:ident: $type:ty),*) ($($result:tt)*) $body:block) => {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = $features)]
            fn wide($($arg: $type),*) $($result)* $body
            if $crate::kernels::Vectors::best() >= $crate::kernels::Vectors::$least {
                // SAFETY: the processor has what these vectors need.
                return unsafe { wide($($arg),*) };
            }
        }
    };
    (up to avx2 $(#[$meta:meta])* $public:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $public fn $name($($arg: $type),*) $(-> $result)? {
            $crate::kernels::vectorised!(@for Avx2 "avx2" ($($arg: $type),*) ($(-> $result)?) $body);
            $body
        }
    };
    ($(#[$meta:meta])* $public:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $public fn $name($($arg: $type),*) $(-> $result)? {
            $crate::kernels::vectorised!(@for Avx512 "avx512f,avx512bw,avx512dq,avx512vl" ($($arg: $type),*) ($(-> $result)?) $body);
            $crate::kernels::vectorised!(@for Avx2 "avx2" ($($arg: $type),*) ($(-> $result)?) $body);
            $body
        }
    };
}
#[cfg(feature = "internals")]
pub use vectorised;
#[cfg(not(feature = "internals"))]
pub(crate) use vectorised;
