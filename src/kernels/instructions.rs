//! Which instruction sets the processor and its operating system offer, and which of them are used.

use std::sync::OnceLock;

use crate::error::{Error, Result};

/// The environment variable that keeps crosspike to an instruction set and to narrower ones.
pub const VARIABLE: &str = "CROSSPIKE_INSTRUCTIONS";

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
    /// The names of all, slowest first, as [`VARIABLE`] takes them.
    const NAMES: [(&str, Self); 5] = [
        ("portable", Instructions::Portable),
        ("avx2", Instructions::Avx2),
        ("avx-vnni", Instructions::AvxVnni),
        ("avx512-vnni", Instructions::Vnni),
        ("amx", Instructions::Amx),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// The set that [`VARIABLE`] asks for, if it is set.
    ///
    /// # Errors
    /// There is no such set, or the processor does not have it.
    pub fn forced() -> Result<Option<Self>> {
        static FORCED: OnceLock<std::result::Result<Option<Instructions>, String>> = OnceLock::new();
        let forced = FORCED.get_or_init(|| match std::env::var_os(VARIABLE) {
            Some(name) if !name.is_empty() => Self::named(&name.to_string_lossy(), &detect()).map(Some),
            _ => Ok(None),
        });
        forced.clone().map_err(Error::Usage)
    }

    /// The set of that name, where it is one of `all`.
    fn named(name: &str, all: &[Self]) -> std::result::Result<Self, String> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, set)| *set);
        known.filter(|set| all.contains(set)).ok_or_else(|| {
            let why = if known.is_some() { "this processor does not have it" } else { "no such instruction set" };
            let all: Vec<&str> = all.iter().map(|set| set.name()).collect();
            format!("{VARIABLE}={name}: {why}; expected one of {}", all.join(", "))
        })
    }

    /// The fastest set there is, or that is asked for.
    pub fn best() -> Self {
        *Self::available().last().unwrap_or(&Instructions::Portable)
    }

    /// Whether a product's digits are joined before they leave the registers.
    pub fn join_in_registers(self) -> bool {
        self == Instructions::Vnni
    }

    /// All sets there are, slowest first; up to that which is asked for.
    pub fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Instructions>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let most = Self::forced().unwrap_or_else(|error| panic!("{error}")).unwrap_or(Instructions::Amx);
            detect().into_iter().filter(|set| *set <= most).collect()
        })
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
