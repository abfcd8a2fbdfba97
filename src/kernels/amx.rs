//! The integer product on Intel AMX: 32 rows by two tiles of sums in four of the eight tile registers.
//!
//! Rust's intrinsics for AMX are not stable, so its six instructions are written out. Linux hands the tile registers to
//! a process that asks (`arch_prctl`, ARCH_REQ_XCOMP_PERM); elsewhere they stay unused.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

use super::operand::{LANES, ROWS_AT_ONCE, RUN_BYTES, Right, Strided};

/// Bytes of a tile register: 16 rows of 64.
const REGISTER: usize = 1024;

/// Whether the processor has AMX for bytes and the system lets this process use it.
pub fn enable() -> bool {
    const TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & TILE_AND_INT8 == TILE_AND_INT8 && request()
}

#[cfg(target_os = "linux")]
fn request() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let mut answer = ARCH_PRCTL;
    // SAFETY: the system call reads its registers and nothing else.
    unsafe {
        asm!("syscall", inlateout("rax") answer, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    answer == 0
}

#[cfg(not(target_os = "linux"))]
fn request() -> bool {
    false
}

/// Palette 1 with every register at 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

const CONFIGURATION: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut register = 0;
    while register < 8 {
        bytes[16 + 2 * register] = 64;
        bytes[48 + register] = 16;
        register += 1;
    }
    Configuration(bytes)
};

macro_rules! load {
    ($register:literal, $at:expr, $stride:expr) => {
        asm!(concat!("tileloadd ", $register, ", [{at} + {stride}*1]"),
            at = in(reg) $at, stride = in(reg) $stride, options(nostack, readonly, preserves_flags))
    };
}

macro_rules! store {
    ($register:literal, $at:expr) => {
        asm!(concat!("tilestored [{at} + {stride}*1], ", $register),
            at = in(reg) $at, stride = in(reg) 64usize, options(nostack, preserves_flags))
    };
}

macro_rules! multiply {
    ($sums:literal, $left:literal, $right:literal) => {
        asm!(concat!("tdpbusd ", $sums, ", ", $left, ", ", $right), options(nostack, nomem, preserves_flags))
    };
}

/// # Safety
/// [`enable`] said yes; `Digits::product` checked all addresses.
pub unsafe fn product(right: Right, left: Strided, add: bool, out: &mut [i32]) {
    let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
    let steps = right.run.div_ceil(RUN_BYTES);
    let (stride, below) = (left.stride, 16 * left.stride);
    // SAFETY: the caller's; the compiler knows of no tile register, so they keep their values between the lines.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly, preserves_flags));
        for (i, out) in out.chunks_mut(2 * rows * LANES).enumerate() {
            let tiles = right.data.as_ptr().add(2 * i * right.tile);
            let two = out.len() == 2 * rows * LANES;
            for row in (0..rows).step_by(ROWS_AT_ONCE) {
                let upper = out.as_mut_ptr().add(row * LANES);
                let lower = upper.add(16 * LANES);
                if !add {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "tilezero tmm2",
                        "tilezero tmm3",
                        options(nostack, nomem, preserves_flags)
                    );
                } else {
                    load!("tmm0", upper, 64usize);
                    load!("tmm2", lower, 64usize);
                }
                if add && two {
                    load!("tmm1", upper.add(rows * LANES), 64usize);
                    load!("tmm3", lower.add(rows * LANES), 64usize);
                }
                for (i, run) in left.runs.iter().enumerate() {
                    let mut bytes = left.bytes.as_ptr().add(run + row * stride);
                    let mut weights = tiles.add(i * steps * REGISTER);
                    for _ in 0..steps {
                        load!("tmm6", weights, 64usize);
                        load!("tmm4", bytes, stride);
                        multiply!("tmm0", "tmm4", "tmm6");
                        load!("tmm5", bytes.add(below), stride);
                        multiply!("tmm2", "tmm5", "tmm6");
                        if two {
                            load!("tmm7", weights.add(right.tile), 64usize);
                            multiply!("tmm1", "tmm4", "tmm7");
                            multiply!("tmm3", "tmm5", "tmm7");
                        }
                        bytes = bytes.add(RUN_BYTES);
                        weights = weights.add(REGISTER);
                    }
                }
                store!("tmm0", upper);
                store!("tmm2", lower);
                if two {
                    store!("tmm1", upper.add(rows * LANES));
                    store!("tmm3", lower.add(rows * LANES));
                }
            }
        }
        asm!("tilerelease", options(nostack, nomem, preserves_flags));
    }
}
