//! The pace of a search's trials, which says how much of its time judging the answer will take.

use std::time::Duration;

/// Trials over which the pace is a mean, about: candidates grow cheaper as a search goes on, and their trials shorter.
const MEMORY: f64 = 50.0;

/// The pace of the trials that a process has run, of late more than before.
pub(super) struct Pace {
    trials: f64,
    seconds: f64,
    /// The images of a trial that judges the answer over those of a trial of the search.
    unseen: f64,
    /// The time of the whole search.
    most: Duration,
}

impl Pace {
    pub fn new(unseen: f64, most: Duration) -> Self {
        Pace { trials: 0.0, seconds: 0.0, unseen, most }
    }

    /// Counts trials that took so long together.
    pub fn count(&mut self, trials: u64, time: Duration) {
        let left = libm::exp(-(trials as f64) / MEMORY);
        self.trials = left * self.trials + trials as f64;
        self.seconds = left * self.seconds + time.as_secs_f64();
    }

    /// The time that so many trials of the search take, and so many that judge the answer: half of the whole search's
    /// at most.
    pub fn closing(&self, confirming: u64, judging: u64) -> Duration {
        if self.trials == 0.0 {
            return Duration::ZERO;
        }
        let trials = confirming as f64 + judging as f64 * self.unseen;
        Duration::try_from_secs_f64(self.seconds / self.trials * trials).unwrap_or(self.most).min(self.most / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judging_takes_the_pace_of_late() {
        let mut pace = Pace::new(2.0, Duration::from_secs(1000));
        assert_eq!(pace.closing(12, 60), Duration::ZERO);
        pace.count(20, Duration::from_secs(40));
        assert!((pace.closing(12, 60).as_secs_f64() - 2.0 * 132.0).abs() < 1e-6);
        // Many that take half a second each leave little of those that took two.
        (0..25).for_each(|_| pace.count(10, Duration::from_secs(5)));
        let closing = pace.closing(12, 60).as_secs_f64();
        assert!(closing > 0.5 * 132.0 && closing < 0.51 * 132.0, "{closing}");
        // A search is never half over before it begins.
        assert_eq!(pace.closing(12, 60_000), Duration::from_secs(500));
    }
}
