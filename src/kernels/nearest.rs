//! The nearest whole number, in plain arithmetic that the compiler makes vectors of.

/// Sums below 2^22 to which 1.5·2^23 is added have no room for a fraction: their last bits are the integer, half to
/// even.
const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;

/// The whole number that is nearest to one below 2^22 in magnitude, half to even.
#[inline(always)]
pub fn nearest(x: f32) -> i32 {
    (x + NO_FRACTION).to_bits() as i32 - NO_FRACTION.to_bits() as i32
}

/// The whole number that is nearest to one below 2^51 in magnitude, half to even: that of `libm::rint`, which is no
/// instruction of every processor.
#[inline(always)]
pub fn nearest_f64(x: f64) -> f64 {
    const NO_FRACTION: f64 = 1.5 * (1u64 << 52) as f64;
    x + NO_FRACTION - NO_FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_number() {
        for (x, expected) in [
            (0.5, 0),
            (1.5, 2),
            (-0.5, 0),
            (-2.5, -2),
            (2.4999, 2),
            (-4_194_303.0, -4_194_303),
            (2_000_000.8, 2_000_001),
        ] {
            assert_eq!(nearest(x), expected, "{x}");
            assert_eq!(nearest_f64(x.into()), f64::from(expected), "{x}");
        }
    }
}
