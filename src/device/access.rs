//! A cell between its word line and its bit line: in series with a transistor or a selector, and with an I–V curve of
//! its own.
//!
//! A cell of conductance G, with the curve `i = G·s(u)` that is scaled to `s(V_read) = V_read`, behind a resistance R
//! and a selector of curve `i = f(v)` carries the current i for which
//!
//! ```text
//! s⁻¹(i/G) + R·i + f⁻¹(i) = V
//! ```
//!
//! Curves are straight between their points, from 0 on, and beyond the last. The voltage as a function of the current
//! is straight by pieces likewise, so the current is found exactly, without iteration. What columns and lines see of
//! the cell is its chord conductance i/V; between ideal lines V is that of a read, so that with a straight curve and no
//! selector `G/(1 + R·G)` is left.

use crate::profile::Rram;

/// Microampere in an ampere: volts of a resistance in ohm for a current in microampere.
const MICRO: f64 = 1e-6;

/// A curve through 0 of straight pieces: what it is at the end of each, `[volt, current]`.
#[derive(Clone, Debug, PartialEq)]
struct Curve(Vec<[f64; 2]>);

/// The access device in series with a cell, and the shape of the cell's own curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Circuit {
    ohm: f64,
    /// The volt of a read; 0 where all is straight.
    volt: f64,
    /// The curve of a cell of 1 µS, in microampere; none where it is straight.
    cell: Option<Curve>,
    selector: Option<Curve>,
}

impl Curve {
    /// The end of a piece, beyond which the last goes on, and its slope.
    fn piece(&self, number: usize) -> (f64, f64) {
        let Curve(points) = self;
        let before = if number == 0 { [0.0; 2] } else { points[number - 1] };
        let slope = (points[number][1] - before[1]) / (points[number][0] - before[0]);
        (if number + 1 == points.len() { f64::INFINITY } else { points[number][1] }, slope)
    }

    /// The current at a voltage.
    fn at(&self, volt: f64) -> f64 {
        let Curve(points) = self;
        let number = points.partition_point(|[v, _]| *v < volt).min(points.len() - 1);
        let before = if number == 0 { [0.0; 2] } else { points[number - 1] };
        before[1] + (volt - before[0]) * self.piece(number).1
    }
}

impl Circuit {
    /// The circuit of a profile's cells; none where they stand between lines by themselves and are straight.
    pub fn new(rram: &Rram) -> Option<Self> {
        let (access, volt) = (&rram.access, rram.read.volt);
        let curve = |points: &[[f64; 2]]| (!points.is_empty()).then(|| Curve(points.to_vec()));
        let scaled = |Curve(points): Curve| {
            let scale = volt / Curve(points.clone()).at(volt);
            Curve(points.iter().map(|[v, i]| [*v, i * scale]).collect())
        };
        access.any().then(|| Circuit {
            ohm: access.ohm,
            volt,
            cell: curve(&access.cell_iv).map(scaled),
            selector: curve(&access.selector_iv),
        })
    }

    /// Whether currents are not proportional to voltages, so that lines change what they take of a cell.
    pub fn is_curved(&self) -> bool {
        self.cell.is_some() || self.selector.is_some()
    }

    /// The volt of a read.
    pub fn volt(&self) -> f64 {
        self.volt
    }

    /// The conductance in microsiemens that is left of a cell's behind its access device, where nothing else drops
    /// voltage.
    pub fn seen(&self, g_us: f64) -> f64 {
        match (&self.selector, &self.cell) {
            // At the volt of a read a cell's own curve is its conductance.
            (None, _) if self.ohm == 0.0 => g_us,
            (None, None) => g_us / (1.0 + g_us * MICRO * self.ohm),
            _ => self.current(g_us, self.volt) / self.volt,
        }
    }

    /// The current in microampere of a cell with its access device at a voltage across both.
    pub fn current(&self, g_us: f64, volt: f64) -> f64 {
        if g_us <= 0.0 {
            return 0.0;
        }
        let across = volt.abs();
        let (mut of_cell, mut of_selector, mut current, mut dropped) = (0, 0, 0.0, 0.0);
        loop {
            let (cell_end, cell_slope) = self.cell.as_ref().map_or((f64::INFINITY, g_us), |c| {
                let (end, slope) = c.piece(of_cell);
                (end * g_us, slope * g_us)
            });
            let (selector_end, selector_ohm) = self.selector.as_ref().map_or((f64::INFINITY, 0.0), |s| {
                let (end, slope) = s.piece(of_selector);
                (end, 1.0 / slope)
            });
            let ohm = 1.0 / cell_slope + self.ohm * MICRO + selector_ohm;
            let end = cell_end.min(selector_end);
            let at_end = dropped + (end - current) * ohm;
            if at_end >= across {
                return (current + (across - dropped) / ohm).copysign(volt);
            }
            (current, dropped) = (end, at_end);
            of_cell += usize::from(cell_end <= end);
            of_selector += usize::from(selector_end <= end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Access, Read};

    fn circuit(access: Access, volt: f64) -> Circuit {
        Circuit::new(&Rram { access, read: Read { volt, ..Read::default() }, ..Rram::default() }).unwrap()
    }

    #[test]
    fn a_transistor_takes_more_of_a_high_conductance() {
        let circuit = circuit(Access { ohm: 5e3, ..Access::default() }, 0.0);
        // 25 kΩ and 5 kΩ in series are 30 kΩ; 1 MΩ loses half a percent.
        assert!((circuit.seen(40.0) - 1e6 / 30e3).abs() < 1e-12);
        assert!((circuit.seen(1.0) - 1e6 / 1.005e6).abs() < 1e-12);
        assert_eq!(circuit.seen(0.0), 0.0);
        assert!(Circuit::new(&Rram::default()).is_none());
    }

    #[test]
    fn what_is_dropped_along_the_circuit_adds_up_to_the_voltage() {
        let selector_iv = vec![[0.1, 0.01], [0.2, 0.5], [0.3, 20.0]];
        let cell_iv = vec![[0.05, 1.0], [0.1, 2.5], [0.2, 8.0], [0.4, 30.0]];
        let circuit = circuit(Access { ohm: 2e3, cell_iv: cell_iv.clone(), selector_iv: selector_iv.clone() }, 0.3);
        let inverse = |curve: &[[f64; 2]], i: f64| {
            let all: Vec<[f64; 2]> = std::iter::once([0.0; 2]).chain(curve.iter().copied()).collect();
            let pair = all.windows(2).find(|pair| i <= pair[1][1]).unwrap_or(&all[all.len() - 2..]);
            pair[0][0] + (i - pair[0][1]) / (pair[1][1] - pair[0][1]) * (pair[1][0] - pair[0][0])
        };
        // The curve at 0.3 V, half-way between 8 and 30, stands for 0.3.
        let scale = 0.3 / 19.0;
        for (g, volt) in [(1.0, 0.3), (40.0, 0.3), (40.0, 0.12), (300.0, 0.5), (0.01, 0.02)] {
            let i = circuit.current(g, volt);
            let dropped = inverse(&cell_iv, i / g / scale) + 2e3 * i * 1e-6 + inverse(&selector_iv, i);
            assert!((dropped - volt).abs() < 1e-12, "{g} µS at {volt} V: {i} µA drop {dropped} V");
            assert_eq!(circuit.current(g, -volt), -i);
        }
    }

    #[test]
    fn a_curve_alone_changes_nothing_at_the_volt_of_a_read() {
        let circuit = circuit(Access { cell_iv: vec![[0.1, 1.0], [0.2, 3.0]], ..Access::default() }, 0.2);
        assert_eq!(circuit.seen(25.3), 25.3);
        assert!((circuit.current(25.0, 0.1) - 25.0 * 0.2 / 3.0).abs() < 1e-12);
    }
}
