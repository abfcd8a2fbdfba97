//! A device's life: the loss of conductance by reads, and failure by writing.
//!
//! **Read disturb.** The pulses on a device's word line add up to a time of stress, `t = images · reads of its row in
//! an image · pulse`; from the transition time on
//!
//! ```text
//! G = G_min + (G − G_min)·(t/t_tr)^(−p),   p = exponent·exp(V/volt),
//! t_tr = time·base^(1/p)·exp(N(0, transition_sigma))
//! ```
//!
//! Reads that reset a cell take conductance from it and leave G_min as it is. The law is that of C.-M. Jiang et al.,
//! "An analytical model of read-disturb failure time in a post-cycling resistive switching memory" (IEEE, document
//! 9580480), as the simulator analog-cim-sim (github.com/rpelke/analog-cim-sim, cpp/src/xbar/read_disturb.cpp) has it,
//! with exponent 0.0068, volt kT/(0.11 e) = 0.23502 at 300 K, time 15.5 ns, and base `1.43339·(1 − 0.003·N^0.41)` after
//! N cycles of setting and resetting. Beyond some 77,000 cycles that base is below 1, and lower voltages would disturb
//! sooner: a profile with such a base is refused here. The temperature is that of the constants alone.
//!
//! **Endurance.** A device that takes n pulses a programming has failed after w programmings if `n·w` is more than the
//! pulses that it endures, which follow Weibull's distribution: `P = 1 − exp(−(n·w/pulses)^shape)`. Whatever is
//! written, it then stays at one end of its range.

use ndarray_rand::rand::RngCore;
use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use super::devices::DevicePlace;
use super::{Draw, Purpose};
use crate::profile::{Endurance, Rram};
use crate::rng::Substream;

/// Seconds in a nanosecond.
const NANO: f64 = 1e-9;

/// The loss by reads of a profile's devices.
#[derive(Clone, Copy, Debug)]
pub struct ReadLoss {
    lowest: f64,
    exponent: f64,
    transition_s: f64,
    transition_sigma: f64,
    /// Seconds of stress for each read in an image.
    stress_s: f64,
}

impl ReadLoss {
    /// The loss of devices from a least conductance on, in microsiemens; none where reads take nothing.
    pub fn new(rram: &Rram, lowest: f64) -> Option<Self> {
        let (disturb, read) = (&rram.disturb, &rram.read);
        disturb.any().then(|| ReadLoss {
            lowest,
            exponent: disturb.exponent_at(read.volt),
            transition_s: disturb.transition_s(read.volt),
            transition_sigma: disturb.transition_sigma,
            stress_s: disturb.images * read.pulse_ns * NANO,
        })
    }

    /// The conductance that is left of a device whose row is read so often in an image; without a draw, the device
    /// begins to lose at the median time.
    pub fn after(&self, g: f64, reads: f64, place: DevicePlace, draw: Option<Draw>) -> f64 {
        let mut transition_s = self.transition_s;
        if let Some(draw) = draw.filter(|_| self.transition_sigma > 0.0) {
            let mut stream = Substream::new(draw.key(Purpose::Disturb), place.words());
            let normal: f64 = StandardNormal.sample(&mut stream);
            transition_s *= libm::exp(self.transition_sigma * normal);
        }
        let stress = reads * self.stress_s / transition_s;
        if stress <= 1.0 || g <= self.lowest {
            return g;
        }
        self.lowest + (g - self.lowest) * libm::pow(stress, -self.exponent)
    }
}

/// Whether a device has failed that takes so many pulses each time it is programmed.
pub fn has_failed(endurance: &Endurance, pulses: u64, place: DevicePlace, draw: Draw) -> bool {
    let drawn = Substream::new(draw.key(Purpose::Endurance), place.words()).next_u32();
    (f64::from(drawn) + 0.5) / 4_294_967_296.0 < endurance.failed(pulses as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::devices::Polarity;
    use crate::profile::{Disturb, Read};

    fn place(i: usize) -> DevicePlace {
        DevicePlace { row: i % 300, column: i / 300, layer: 2, slice: 0, polarity: Polarity::Plus }
    }

    fn rram(volt: f64, images: f64) -> Rram {
        let disturb =
            Disturb { images, exponent: 0.0068, volt: 0.23502, time_s: 1.55e-8, base: 1.43339, ..Disturb::default() };
        Rram { disturb, read: Read { volt, pulse_ns: 100.0, ..Read::default() }, ..Rram::default() }
    }

    #[test]
    fn reads_take_what_the_published_law_says() {
        // analog-cim-sim, cpp/src/xbar/read_disturb.cpp, at 300 K and without cycles: p = 0.0068·exp(0.11·0.4/0.025852)
        // = 0.0373, t_tr = 1.55e-8·1.43339^(1/p) = 2.41e-4 s; 1e7 reads of 100 ns are 1 s, which leave (1/t_tr)^(-p) =
        // 0.733.
        let p = 0.0068 * f64::exp(0.4 / 0.23502);
        let transition = 1.55e-8 * f64::powf(1.43339, 1.0 / p);
        let loss = ReadLoss::new(&rram(0.4, 1e6), 2.0).unwrap();
        let expected = 2.0 + 38.0 * (1.0 / transition).powf(-p);
        let found = loss.after(40.0, 10.0, place(0), None);
        assert!(
            (found / expected - 1.0).abs() < 1e-9 && (p - 0.0373).abs() < 1e-4,
            "{found} {expected} {p} {transition}"
        );
        assert_eq!(loss.after(2.0, 10.0, place(0), None), 2.0, "the lowest stays");
        assert_eq!(loss.after(40.0, 0.0, place(0), None), 40.0, "a row that is never read stays");
        // At 0.2 V the same reads are far from enough.
        assert_eq!(ReadLoss::new(&rram(0.2, 1e6), 2.0).unwrap().after(40.0, 10.0, place(0), None), 40.0);
        assert!(ReadLoss::new(&rram(0.4, 0.0), 2.0).is_none());
    }

    #[test]
    fn so_many_devices_have_failed_as_weibull_says() {
        let endurance = Endurance { writes: 2e4, pulses: 1e5, shape: 1.5, ..Endurance::default() };
        for (pulses, expected) in [(1, 1.0 - f64::exp(-f64::powf(0.2, 1.5))), (4, 1.0 - f64::exp(-f64::powf(0.8, 1.5)))]
        {
            let failed = (0..90_000).filter(|i| has_failed(&endurance, pulses, place(*i), Draw::chip(3, 1))).count();
            let (share, error) = (failed as f64 / 90_000.0, (expected * (1.0 - expected) / 90_000.0).sqrt());
            assert!((share - expected).abs() < 5.0 * error, "{pulses}: {share} of {expected}");
        }
    }
}
