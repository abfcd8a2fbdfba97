//! The integer product on Intel AMX: 32 rows by two tiles of sums in four of the eight tile registers.
//!
//! Rust's intrinsics for AMX are not stable, so its six instructions are written out. Linux hands the tile registers to
//! a process that asks (`arch_prctl`, ARCH_REQ_XCOMP_PERM); elsewhere they stay unused.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

use super::operand::{LANES, ROWS_AT_ONCE, RUN_BYTES, Right, Strided};

/// Whether the processor has AMX for bytes and the system lets this process use it.
pub fn enable() -> bool {
    const TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    // SAFETY: every x86-64 processor has the instruction, which later versions of Rust know to be safe.
    #[allow(unused_unsafe)]
    let has_tiles = unsafe { __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & TILE_AND_INT8 == TILE_AND_INT8 };
    has_tiles && request()
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

/// What a product of all rows with one or two tiles needs, beside the registers that it is given.
#[repr(C)]
struct AmxJob {
    configuration: *const Configuration,
    /// Where runs begin, and the end of that list.
    runs: *const usize,
    runs_end: *const usize,
    /// Registers' worth of bytes in a run.
    steps: usize,
    /// The weights of the first tile.
    weights: *const i8,
    /// Bytes from the first tile to the second.
    tile: usize,
    /// Bytes from 16 rows of the left operand to the next 16, and to the next 32.
    below: usize,
    next: usize,
    /// Bytes from the first tile's sums to the second's.
    sums: usize,
    /// Groups of 32 rows that are still to be multiplied.
    blocks: usize,
}

/// The product of all rows with a pair of tiles, or with one. Everything that tile registers hold lives in this one
/// block; `$begin` fills the sums, `$second` are the instructions of the second tile, and `$store` those that store its
/// sums.
macro_rules! product {
    (
        $job:expr, $bytes:expr, $stride:expr, $out:expr,
        [$($begin:literal),*], [$($second:literal),*], [$($store:literal),*]
    ) => {
        asm!(
            "mov {at}, qword ptr [{job}]",
            "ldtilecfg [{at}]",
            "2:",
            "mov {other}, {out}",
            "add {other}, qword ptr [{job} + 64]",
            $($begin,)*
            "mov {weights}, qword ptr [{job} + 32]",
            "mov {run}, qword ptr [{job} + 8]",
            "3:",
            "cmp {run}, qword ptr [{job} + 16]",
            "je 5f",
            "mov {at}, qword ptr [{run}]",
            "add {at}, {bytes}",
            "add {run}, 8",
            "mov {left}, qword ptr [{job} + 24]",
            "4:",
            "tileloadd tmm6, [{weights} + {line}*1]",
            "tileloadd tmm4, [{at} + {stride}*1]",
            "tdpbusd tmm0, tmm4, tmm6",
            "mov {other}, {at}",
            "add {other}, qword ptr [{job} + 48]",
            "tileloadd tmm5, [{other} + {stride}*1]",
            "tdpbusd tmm2, tmm5, tmm6",
            $($second,)*
            "add {at}, 64",
            "add {weights}, 1024",
            "dec {left}",
            "jnz 4b",
            "jmp 3b",
            "5:",
            "tilestored [{out} + {line}*1], tmm0",
            "tilestored [{out} + {line}*1 + 1024], tmm2",
            "mov {other}, {out}",
            "add {other}, qword ptr [{job} + 64]",
            $($store,)*
            "add {out}, 2048",
            "add {bytes}, qword ptr [{job} + 56]",
            "dec qword ptr [{job} + 72]",
            "jnz 2b",
            "tilerelease",
            job = in(reg) $job,
            bytes = inout(reg) $bytes => _,
            out = inout(reg) $out => _,
            stride = in(reg) $stride,
            line = in(reg) 64usize,
            weights = out(reg) _,
            run = out(reg) _,
            at = out(reg) _,
            left = out(reg) _,
            other = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack)
        )
    };
    ($job:expr, $bytes:expr, $stride:expr, $out:expr, two, [$($begin:literal),*]) => {
        product!($job, $bytes, $stride, $out, [$($begin),*], [
            "mov {other}, {weights}",
            "add {other}, qword ptr [{job} + 40]",
            "tileloadd tmm7, [{other} + {line}*1]",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm3, tmm5, tmm7"
        ], [
            "tilestored [{other} + {line}*1], tmm1",
            "tilestored [{other} + {line}*1 + 1024], tmm3"
        ])
    };
}

/// # Safety
/// [`enable`] said yes; `Digits::product` checked all addresses.
pub unsafe fn product(right: Right, left: Strided, add: bool, out: &mut [i32]) {
    let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
    let runs = left.runs.as_ptr_range();
    let stride = left.stride;
    for (i, out) in out.chunks_mut(2 * rows * LANES).enumerate() {
        let mut job = AmxJob {
            configuration: &CONFIGURATION,
            runs: runs.start,
            runs_end: if right.run == 0 { runs.start } else { runs.end },
            steps: right.run.div_ceil(RUN_BYTES),
            weights: right.data[2 * i * right.tile..].as_ptr(),
            tile: right.tile,
            below: 16 * stride,
            next: 32 * stride,
            sums: rows * LANES * size_of::<i32>(),
            blocks: rows / ROWS_AT_ONCE,
        };
        let (two, job, bytes) = (out.len() == 2 * rows * LANES, &raw mut job, left.bytes.as_ptr());
        let out = out.as_mut_ptr();
        // SAFETY: each block reads the job, the runs and the operands, and writes the job's count and the sums, all of
        // which outlive it.
        unsafe {
            match (two, add) {
                (true, false) => product!(
                    job,
                    bytes,
                    stride,
                    out,
                    two,
                    ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"]
                ),
                (true, true) => product!(
                    job,
                    bytes,
                    stride,
                    out,
                    two,
                    [
                        "tileloadd tmm0, [{out} + {line}*1]",
                        "tileloadd tmm2, [{out} + {line}*1 + 1024]",
                        "tileloadd tmm1, [{other} + {line}*1]",
                        "tileloadd tmm3, [{other} + {line}*1 + 1024]"
                    ]
                ),
                (false, false) => product!(job, bytes, stride, out, ["tilezero tmm0", "tilezero tmm2"], [], []),
                (false, true) => product!(
                    job,
                    bytes,
                    stride,
                    out,
                    ["tileloadd tmm0, [{out} + {line}*1]", "tileloadd tmm2, [{out} + {line}*1 + 1024]"],
                    [],
                    []
                ),
            }
        }
    }
}
