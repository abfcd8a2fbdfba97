//! Exponentials of many numbers at once, to the bit those of `libm::exp`.
//!
//! `libm`'s is FreeBSD's: x = k·ln 2 + r with |r| ≤ ln 2/2, and a rational approximation of e^r. The same operations in
//! the same order, without branches, are made of many numbers side by side; numbers too near to 0 or too large for them
//! go through `libm::exp` itself.

use std::f64::consts::LOG2_E;

use super::NO_FRACTION;
use crate::kernels::vectorised;

/// ln 2 in two parts, of which the first has trailing zeros.
const LN2: [f64; 2] = [f64::from_bits(0x3fe6_2e42_fee0_0000), f64::from_bits(0x3dea_39ef_3579_3c76)];
/// Coefficients of the approximation: some 1/6, −1/360, 1/15120, −1/604800 and 1/23950080.
const COEFFICIENTS: [f64; 5] = [
    f64::from_bits(0x3fc5_5555_5555_553e),
    f64::from_bits(0xbf66_c16c_16be_bd93),
    f64::from_bits(0x3f11_566a_af25_de2c),
    f64::from_bits(0xbebb_bd41_c5d2_6bf1),
    f64::from_bits(0x3e66_3769_72be_a4d0),
];
/// Numbers of this magnitude are reduced: the first above ln 2/2 by its upper 32 bits.
const HALF: f64 = f64::from_bits(0x3fd6_2e43_0000_0000);
/// The magnitude, 1.5 ln 2, from which numbers are reduced by the nearest multiple of ln 2; below by one ln 2.
const MORE: f64 = f64::from_bits(0x3ff0_a2b2_0000_0000);
/// Below this magnitude, just above 2^-28, the exponential is 1 + x.
const LEAST: f64 = f64::from_bits(0x3e30_0001_0000_0000);
/// Beyond this one a result may not be normal.
const MOST: f64 = 700.0;

/// Takes the exponential of each.
pub fn exp_all(values: &mut [f64]) {
    for values in values.chunks_mut(16) {
        if values.iter().all(|x| *x == 0.0 || (LEAST..MOST).contains(&x.abs())) {
            exp_some(values);
        } else {
            values.iter_mut().for_each(|x| *x = libm::exp(*x));
        }
    }
}

vectorised! {
    fn exp_some(values: &mut [f64]) {
        for value in values {
            let (x, magnitude) = (*value, value.abs());
            let sign = if x < 0.0 { -1.0 } else { 1.0 };
            // The multiple is cut towards 0.
            let exact = LOG2_E * x + 0.5 * sign;
            let nearest = (exact + NO_FRACTION) - NO_FRACTION;
            let whole = if nearest.abs() > exact.abs() { nearest - sign } else { nearest };
            let k = if magnitude >= MORE { whole } else { sign };
            let k = if magnitude >= HALF { k } else { 0.0 };
            let (hi, lo) = (x - k * LN2[0], k * LN2[1]);
            let r = hi - lo;
            let square = r * r;
            let [first, second, third, fourth, fifth] = COEFFICIENTS;
            let series = first + square * (second + square * (third + square * (fourth + square * fifth)));
            let c = r - square * series;
            let y = 1.0 + (r * c / (2.0 - c) - lo + hi);
            // k + 1023 are the last bits of this sum, and the exponent of 2^k.
            let power = f64::from_bits((k + (NO_FRACTION + 1023.0)).to_bits() << 52);
            *value = y * power;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::philox4x32;

    #[test]
    fn exponentials_are_those_of_libm_to_the_bit() {
        let edges = [0.0, LEAST, HALF, MORE, MOST, 1.0, 0.5, std::f64::consts::LN_2, 709.0, 746.0, f64::INFINITY];
        let beside = |x: f64| [x.next_down(), x, x.next_up()].into_iter().flat_map(|x| [x, -x]);
        let mut values: Vec<f64> = edges.into_iter().flat_map(beside).collect();
        values.extend((-1100..1100).map(|k| f64::from(k) * std::f64::consts::LN_2 / 2.0));
        for i in 0..400_000 {
            let [a, b, c, _] = philox4x32([3, 4], [i, 0, 0, 0]);
            let uniform = (f64::from(a) * 4_294_967_296.0 + f64::from(b)) / 2f64.powi(63) - 1.0;
            values.push(uniform * 2f64.powi((c % 40) as i32 - 29));
        }
        let mut found = values.clone();
        exp_all(&mut found);
        for (x, found) in values.into_iter().zip(found) {
            assert_eq!(found.to_bits(), libm::exp(x).to_bits(), "exp({x:e})");
        }
    }
}
