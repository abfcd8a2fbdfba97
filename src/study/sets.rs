//! The data sets that a study names, each opened once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Document;
use crate::data::{Dataset, Split};
use crate::error::Result;

/// A set by its key and name: the same name may start from another folder at another key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named {
    /// The key of the study that it stands at.
    pub key: String,
    /// As [`Dataset::open`] takes it.
    pub spec: String,
}

impl Named {
    pub fn new(key: &str, spec: &str) -> Self {
        Named { key: key.into(), spec: spec.into() }
    }
}

/// What names the test images of a study, and the training images beside them, by its keys `data` and `test`.
pub(super) fn names(data: &str, test: Option<&str>) -> [Named; 2] {
    let data = Named::new("data", data);
    [test.map_or(data.clone(), |test| Named::new("test", test)), data]
}

/// What a study has opened so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    tests: HashMap<(Named, Option<usize>), Arc<Dataset>>,
    /// By the test set that they stand beside.
    training: HashMap<(Named, Named), Arc<Dataset>>,
}

impl Sets {
    /// The test images of a set: the first ones, or all.
    pub fn test(&mut self, document: &Document, named: &Named, limit: Option<usize>) -> Result<Arc<Dataset>> {
        let place = (named.clone(), limit);
        if let Some(there) = self.tests.get(&place) {
            return Ok(there.clone());
        }
        let opened = Dataset::open(&named.spec, document.base(&named.key), Split::Test);
        let opened = opened.map_err(document.locate(&named.key))?;
        let opened = Arc::new(opened.limit(limit.unwrap_or(usize::MAX)));
        self.tests.insert(place, opened.clone());
        Ok(opened)
    }

    /// The training images of a set; an error where they are those that are tested.
    pub fn training(&mut self, document: &Document, named: &Named, tested: &Named) -> Result<Arc<Dataset>> {
        let place = (named.clone(), tested.clone());
        if let Some(there) = self.training.get(&place) {
            return Ok(there.clone());
        }
        let whole = self.test(document, tested, None)?;
        let opened = whole.training_beside(Some(&named.spec), document.base(&named.key));
        let opened = Arc::new(opened.map_err(document.locate(&named.key))?);
        self.training.insert(place, opened.clone());
        Ok(opened)
    }
}
