//! Weight quantisers: the levels a cell can be programmed to. All are computed in f32, rounding half to even.
//!
//! - `uniform(k)`: `n = 2^k − 1`, `a = 2·(round((w+1)/2·n)/n − ½)`, `q = round(a·2^(k−1))/2^(k−1)`. No clipping and no
//!   zero level: the published weights of the BNTT networks on RRAM (IEEE TCAD 2022, doi 10.1109/TCAD.2022.3197516).
//! - `integer(k)`: `m = 2^(k−1)`, `q = clip(round(w·m), 1−m, m−1)/m`: signed integers with a zero, k ≥ 2.
//! - `ternary`: `τ = 0.05·max|w|`, `α` the mean of |w| over |w| ≥ τ, `q ∈ {−α, 0, α}`.
//! - `dorefa(k)`: `q = 2·round(n·(tanh w/(2·max|tanh w|) + ½))/n − 1` (arXiv:1606.06160).

use crate::numeric::largest;
use crate::profile::Scheme;

/// Quantises a layer's weights to `bits`; `Float` copies them, `Ternary` ignores `bits`.
pub fn quantise(scheme: Scheme, bits: u32, weights: &[f32]) -> Vec<f32> {
    match scheme {
        Scheme::Float => weights.to_vec(),
        Scheme::Uniform => uniform(bits, weights),
        Scheme::Integer => integer(bits, weights),
        Scheme::Ternary => ternary(weights),
        Scheme::Dorefa => dorefa(bits, weights),
    }
}

/// The unit that quantised weights are whole multiples of; 1 for floats, which have none.
pub fn unit(scheme: Scheme, bits: u32, quantised: &[f32]) -> f64 {
    match scheme {
        Scheme::Float => 1.0,
        Scheme::Uniform | Scheme::Integer => libm::exp2(1.0 - f64::from(bits)),
        Scheme::Ternary => match largest(quantised) {
            0.0 => 1.0,
            alpha => f64::from(alpha),
        },
        Scheme::Dorefa => 1.0 / (libm::exp2(f64::from(bits)) - 1.0),
    }
}

/// The largest magnitude that a cell is made for: 1, that of larger weights, or a ternary layer's α.
pub fn full_scale(scheme: Scheme, quantised: &[f32]) -> f64 {
    let largest = f64::from(largest(quantised));
    match scheme {
        Scheme::Uniform | Scheme::Integer | Scheme::Dorefa => largest.max(1.0),
        Scheme::Float | Scheme::Ternary if largest > 0.0 => largest,
        Scheme::Float | Scheme::Ternary => 1.0,
    }
}

fn uniform(bits: u32, weights: &[f32]) -> Vec<f32> {
    let n = ((1u64 << bits) - 1) as f32;
    let half = (1u64 << (bits - 1)) as f32;
    let level = |w: f32| {
        let a = 2.0 * (((w + 1.0) / 2.0 * n).round_ties_even() / n - 0.5);
        (a * half).round_ties_even() / half
    };
    weights.iter().map(|w| level(*w)).collect()
}

fn integer(bits: u32, weights: &[f32]) -> Vec<f32> {
    let m = (1u64 << (bits - 1)) as f32;
    weights.iter().map(|w| (w * m).round_ties_even().clamp(1.0 - m, m - 1.0) / m).collect()
}

fn ternary(weights: &[f32]) -> Vec<f32> {
    let threshold = 0.05 * largest(weights);
    let kept = weights.iter().filter(|w| w.abs() >= threshold);
    let (sum, count) = kept.fold((0.0f64, 0u64), |(sum, count), w| (sum + f64::from(w.abs()), count + 1));
    let alpha = (sum / count.max(1) as f64) as f32;
    weights.iter().map(|w| if w.abs() >= threshold { alpha.copysign(*w) } else { 0.0 }).collect()
}

fn dorefa(bits: u32, weights: &[f32]) -> Vec<f32> {
    let n = ((1u64 << bits) - 1) as f32;
    let squashed: Vec<f32> = weights.iter().map(|w| libm::tanhf(*w)).collect();
    let top = largest(&squashed).max(f32::MIN_POSITIVE);
    squashed.iter().map(|t| 2.0 * (n * (t / (2.0 * top) + 0.5)).round_ties_even() / n - 1.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_has_no_zero_level() {
        // Published: w = 0 becomes −1, .5, .25, .125, .0078 for 1, 2, 3, 4, 8 bits.
        for (bits, expected) in [(1, -1.0), (2, 0.5), (3, 0.25), (4, 0.125), (8, 0.0078125)] {
            let q = uniform(bits, &[0.0])[0];
            assert_eq!(q, expected, "{bits} bits");
        }
    }

    #[test]
    fn uniform_magnitudes_are_whole_levels_on_the_unit_interval() {
        for bits in [1, 2, 3, 4, 8] {
            let half = (1u32 << (bits - 1)) as f32;
            for i in -1000..=1000 {
                let level = uniform(bits, &[i as f32 / 1000.0])[0].abs() * half;
                assert!(level == level.round() && level <= half, "{bits} bits, w = {i}/1000: level {level}");
            }
        }
    }

    #[test]
    fn integer_is_odd_symmetric_and_clipped() {
        assert_eq!(integer(3, &[0.0, 0.25, -0.25, 5.0, -5.0]), [0.0, 0.25, -0.25, 0.75, -0.75]);
    }

    #[test]
    fn ternary_keeps_the_mean_of_what_it_keeps() {
        assert_eq!(ternary(&[1.0, -0.5, 0.01, -0.04]), [0.75, -0.75, 0.0, 0.0]);
    }
}
