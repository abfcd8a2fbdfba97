//! Whether what a study sets has an effect at any of its points: an axis without one would look like a finding.

use std::collections::BTreeMap;

/// What a study sets, each with the reason why it had no effect at the points seen so far; none where it had one.
#[derive(Debug, Default)]
pub(super) struct Watch(BTreeMap<String, Option<&'static str>>);

impl Watch {
    /// At another point, `what` has no effect for this reason, or has one.
    pub fn see(&mut self, what: &str, why: Option<&'static str>) {
        let seen = self.0.entry(what.to_owned()).or_insert(why);
        *seen = seen.and(why);
    }

    /// Why something had no effect at any point.
    pub fn idle(&self, what: &str) -> Option<&'static str> {
        self.0.get(what).copied().flatten()
    }
}
