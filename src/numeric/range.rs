//! What values a set of numbers has.

/// The ends of some values, and whether all of them are whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least value.
    pub least: f32,
    /// The greatest value.
    pub greatest: f32,
    /// Whether every value is a whole number.
    pub whole: bool,
}

impl Range {
    /// The range of some values; of none, that of 0.
    pub fn of(values: impl IntoIterator<Item = f32>) -> Self {
        let mut values = values.into_iter();
        let one = |x: f32| Range { least: x, greatest: x, whole: x.fract() == 0.0 };
        let first = one(values.next().unwrap_or(0.0));
        values.fold(first, |range, x| range.with(one(x)))
    }

    /// The range of these and other values.
    pub fn with(self, other: Range) -> Self {
        Range {
            least: if other.least < self.least { other.least } else { self.least },
            greatest: if other.greatest > self.greatest { other.greatest } else { self.greatest },
            whole: self.whole && other.whole,
        }
    }

    /// The range of real values up to `by` away from these.
    pub fn widened(self, by: f32) -> Self {
        Range { least: self.least - by, greatest: self.greatest + by, whole: self.whole && by == 0.0 }
    }

    /// The largest magnitude.
    pub fn magnitude(&self) -> f32 {
        self.greatest.abs().max(self.least.abs())
    }
}
