//! Linear and logarithmic axes with round tick values.

/// The smallest and the largest of the values.
pub(super) fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)])
}

/// A map from values to pixels, linear or of their logarithm, with ticks at round values.
pub(super) struct Scale {
    low: f64,
    high: f64,
    pixels: [f64; 2],
    step: f64,
    log: bool,
}

/// Pixels from one tick of a logarithmic axis to the next, on average, that leave room for their numbers.
const BETWEEN: f64 = 20.0;
/// The largest value over the smallest from which an axis is logarithmic.
const WIDE: f64 = 30.0;

impl Scale {
    /// An axis from `low` to `high` (equal ends are moved apart) over `pixels`, with about `count` ticks; `whole` keeps
    /// ticks on integers.
    pub fn new([low, high]: [f64; 2], pixels: [f64; 2], count: f64, whole: bool) -> Self {
        let [low, high] = if high > low { [low, high] } else { [low - 1.0, low + 1.0] };
        let step = nice_step((high - low) / count);
        Self { low, high, pixels, step: if whole { step.max(1.0) } else { step }, log: false }
    }

    /// A scale that is logarithmic where all values are above 0 and far apart, and linear elsewhere.
    pub fn spread([low, high]: [f64; 2], pixels: [f64; 2], count: f64, whole: bool) -> Self {
        if low > 0.0 && high >= WIDE * low {
            return Self { low, high, pixels, step: 1.0, log: true };
        }
        Self::new([low, high], pixels, count, whole)
    }

    /// An axis of percentages: the ends are ticks, between 0 and 100.
    pub fn percent([low, high]: [f64; 2], pixels: [f64; 2], count: f64) -> Self {
        let (low, high) = if high - low < 0.1 { (low - 1.0, high + 1.0) } else { (low, high) };
        let step = nice_step((high - low) / count);
        let low = ((low / step).floor() * step).clamp(0.0, 100.0);
        let high = ((high / step).ceil() * step).clamp(0.0, 100.0);
        Self { low, high, pixels, step, log: false }
    }

    /// The pixel of a value.
    pub fn place(&self, value: f64) -> f64 {
        let [from, to] = self.pixels;
        if self.log {
            return from + (value / self.low).ln() / (self.high / self.low).ln() * (to - from);
        }
        from + (value - self.low) / (self.high - self.low) * (to - from)
    }

    /// Pixels and texts of the ticks.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        if self.log {
            let powers = (self.low.log10() - 1e-9).ceil() as i32..=(self.high.log10() + 1e-9).floor() as i32;
            // Few powers of ten on a long axis leave room for what lies between.
            let (decades, pixels) = ((self.high / self.low).log10(), (self.pixels[1] - self.pixels[0]).abs());
            let has_room = powers.clone().count() < 3 && pixels / (3.0 * decades) >= BETWEEN;
            let digits: &[f64] = if has_room { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let values = (powers.start() - 1..=*powers.end()).flat_map(|power| {
                digits.iter().map(move |digit| format!("{digit}e{power}").parse::<f64>().unwrap_or_default())
            });
            let within = values.filter(|value| (self.low * (1.0 - 1e-9)..=self.high * (1.0 + 1e-9)).contains(value));
            return within.map(|value| (self.place(value), value.to_string())).collect();
        }
        let first = (self.low / self.step - 1e-6).ceil();
        let count = ((self.high / self.step + 1e-6).floor() - first).clamp(0.0, 50.0) as usize;
        let decimals = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        (0..=count)
            .map(|index| {
                let value = (first + index as f64) * self.step;
                let value = if value.abs() < self.step / 2.0 { 0.0 } else { value };
                (self.place(value), format!("{value:.decimals$}").replace('-', "−"))
            })
            .collect()
    }
}

/// The smallest of 1, 2, 5 × 10ⁿ that is not below `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let digit = rough / power;
    let nice = [1.0, 2.0, 5.0].into_iter().find(|&nice| digit <= nice * (1.0 + 1e-9)).unwrap_or(10.0);
    nice * power
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn ticks_are_round() {
        let cases: [(Scale, &[&str]); 9] = [
            (Scale::spread([0.01, 1.0], [0.0, 100.0], 5.0, false), &["0.01", "0.1", "1"]),
            (Scale::spread([3.0, 100.0], [0.0, 100.0], 5.0, true), &["5", "10", "20", "50", "100"]),
            (Scale::spread([0.0, 2.0], [0.0, 100.0], 5.0, false), &["0.0", "0.5", "1.0", "1.5", "2.0"]),
            (Scale::new([0.0, 2.0], [0.0, 100.0], 5.0, false), &["0.0", "0.5", "1.0", "1.5", "2.0"]),
            (Scale::new([-1.0, 1.0], [0.0, 100.0], 8.0, true), &["−1", "0", "1"]),
            (Scale::new([3.0, 3.0], [0.0, 100.0], 2.0, false), &["2", "3", "4"]),
            (Scale::percent([71.3, 93.1], [0.0, 100.0], 5.0), &["70", "75", "80", "85", "90", "95"]),
            (Scale::percent([98.2, 100.0], [0.0, 100.0], 4.0), &["98.0", "98.5", "99.0", "99.5", "100.0"]),
            (Scale::percent([0.0, 0.0], [0.0, 100.0], 2.0), &["0", "1"]),
        ];
        for (scale, expected) in cases {
            let texts: Vec<String> = scale.ticks().into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts, expected);
        }
    }
}
