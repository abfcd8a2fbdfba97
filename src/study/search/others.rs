//! The other processes of a search: each runs its part, and looks for theirs.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::study::sweep::Shard;

/// Looks after which a process that waits says so.
const PATIENT_LOOKS: u32 = 20;
/// The time from one look for the work of others to the next.
const LOOK: Duration = Duration::from_millis(300);

/// The other processes, as this one sees them.
#[derive(Clone, Copy)]
pub(super) struct Others<'a> {
    /// This one's part.
    pub shard: Shard,
    pub monitor: &'a dyn Monitor,
}

impl Others<'_> {
    /// The part that work at a place is of, the first one 1.
    pub fn part_of(&self, place: usize) -> usize {
        place % self.shard.of + 1
    }

    /// Looks until others have done what is theirs.
    pub fn wait(&self, mut is_done: impl FnMut() -> Result<bool>) -> Result<()> {
        let mut looks = 0;
        while !is_done()? {
            looks += 1;
            if looks == PATIENT_LOOKS {
                let Shard { index, of } = self.shard;
                self.monitor
                    .notice(&format!("shard {index} of {of} waits for work of the others; they have to run too"));
            }
            if self.monitor.stop() {
                return Err(Error::Interrupted(String::new()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}
