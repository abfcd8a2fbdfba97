//! The times that kernels took, by their names.

use std::time::Duration;

/// The times that kernels took, all submissions together, in the order of their first run.
#[derive(Clone, Debug, Default)]
pub struct KernelTimes(pub Vec<(String, Duration)>);

impl KernelTimes {
    /// Adds what a kernel took.
    pub fn add(&mut self, name: String, time: Duration) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += time,
            None => self.0.push((name, time)),
        }
    }
}
