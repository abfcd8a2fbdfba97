//! The chip that candidates are compared to, which may be a candidate itself.

use super::Search;
use super::goals::Bound;
use crate::error::{Error, Result};
use crate::study::axes::Genes;
use crate::study::reader::Reader;
use crate::study::setting::Setting;
use crate::study::space::GridPoint;

/// The chip that candidates are compared to.
pub(super) struct Reference {
    /// What it is.
    pub setting: Setting,
    /// The candidate that is this very chip, where the space holds all its values and nothing else sets it apart. It
    /// keeps to its own accuracy, so a search has something to undercut from the start.
    pub in_space: Option<Genes>,
}

impl Search {
    /// The settings of the reference, where accuracy is bound to it.
    pub(super) fn reference_point(&self) -> Option<GridPoint> {
        matches!(self.goals.bound(), Some(Bound::Within(_))).then(|| self.file.conditions(&self.file.reference))
    }

    /// The reference, where accuracy is bound to it.
    pub(super) fn reference(&self, reader: &mut Reader) -> Result<Option<Reference>> {
        let Some(point) = self.reference_point() else { return Ok(None) };
        let setting = reader.setting(&point)?;
        Ok(Some(match self.same_candidate(reader, &setting)? {
            Some((genes, candidate)) => Reference { setting: candidate, in_space: Some(genes) },
            None => Reference { setting, in_space: None },
        }))
    }

    /// The candidate that is the same chip as the reference, if there is one; candidates that are trained are not.
    fn same_candidate(&self, reader: &mut Reader, reference: &Setting) -> Result<Option<(Genes, Setting)>> {
        let genes = self.space.showing(|key| reference.shown_at(key)).filter(|_| !self.trains());
        let Some(genes) = genes else { return Ok(None) };
        // A key of all layers and the same key of each layer have names of their own, so the reference is compared with
        // both of them set.
        let own = self.space.point(&genes);
        let both = self.file.reference.iter().chain(own.iter().map(|(key, value)| (key, value)));
        let [candidate, with_both] =
            [self.candidate_point(&genes), self.file.conditions(both)].map(|point| match reader.setting(&point) {
                Err(Error::Config { .. }) => Ok(None),
                setting => setting.map(Some),
            });
        Ok(candidate?.zip(with_both?).filter(|(one, other)| one.key == other.key).map(|(one, _)| (genes, one)))
    }
}
