//! The data sets that a study names: the tested images are opened once, training images once for all that use them
//! together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use crate::config::Document;
use crate::data::{Dataset, Split};
use crate::error::{Error, Result};

/// A set by its name, and the key that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The key of the study that it stands at.
    pub key: String,
    /// The name as [`Dataset::open`] takes it.
    pub spec: String,
}

impl Named {
    pub fn new(key: &str, spec: &str) -> Self {
        Named { key: key.into(), spec: spec.into() }
    }

    fn place(&self, document: &Document) -> Place {
        (document.base(&self.key).to_path_buf(), self.spec.clone())
    }
}

/// The folder that a name starts from, and the name.
type Place = (PathBuf, String);

/// What names the test images of a study, and the training images beside them, by its keys `data` and `test`.
pub(super) fn names(data: &str, test: Option<&str>) -> [Named; 2] {
    let data = Named::new("data", data);
    [test.map_or(data.clone(), |test| Named::new("test", test)), data]
}

/// Which of a set's images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Images {
    /// Whether they are training images, which a training has left out, in the place of test images.
    pub held_out: bool,
    /// The number of images that are left out before them.
    pub after: usize,
    /// So many of them; none: all.
    pub limit: Option<usize>,
    /// The images of each chip, where each has some of its own.
    pub per_chip: Option<usize>,
}

impl Images {
    /// The first images, or all.
    pub fn first(limit: Option<usize>) -> Self {
        Images { limit, ..Images::default() }
    }

    /// The number that a chip has of so many.
    pub fn of_chip(self, all: usize) -> usize {
        self.per_chip.unwrap_or(all)
    }
}

/// What a study has opened.
#[derive(Debug, Default)]
pub(super) struct Sets {
    /// Whole sets of test images.
    tests: HashMap<Place, Arc<Dataset>>,
    /// Parts of them, and of the training images beside them.
    parts: HashMap<([Place; 2], Images), Arc<Dataset>>,
    /// Training images by their set and the test set beside them; an entry goes when nobody uses it, but for the last.
    training: HashMap<[Place; 2], Weak<Dataset>>,
    last: Option<Arc<Dataset>>,
}

impl Sets {
    /// The images that judge chips: some of the set that is tested, or of the training images beside it.
    pub fn judging(&mut self, document: &Document, names: &[Named; 2], images: Images) -> Result<Arc<Dataset>> {
        let [tested, beside] = names;
        // What part of them each chip has does not change the set.
        let images = Images { per_chip: None, ..images };
        let place = (names.each_ref().map(|named| named.place(document)), images);
        if images == Images::default() {
            return self.test(document, tested);
        }
        if let Some(there) = self.parts.get(&place) {
            return Ok(there.clone());
        }
        let whole = match images.held_out {
            true => self.training(document, beside, tested)?,
            false => self.test(document, tested)?,
        };
        let part = Dataset::clone(&whole).after(images.after).limit(images.limit.unwrap_or(usize::MAX));
        let part = Arc::new(part);
        self.parts.insert(place, part.clone());
        Ok(part)
    }

    /// All images of a set that is tested.
    pub fn test(&mut self, document: &Document, named: &Named) -> Result<Arc<Dataset>> {
        let place = named.place(document);
        if let Some(there) = self.tests.get(&place) {
            return Ok(there.clone());
        }
        let opened = Dataset::open(&named.spec, document.base(&named.key), Split::Test);
        let opened = Arc::new(opened.map_err(document.locate(&named.key))?);
        self.tests.insert(place, opened.clone());
        Ok(opened)
    }

    /// The training images of a set; an error where they are those that are tested.
    pub fn training(&mut self, document: &Document, named: &Named, tested: &Named) -> Result<Arc<Dataset>> {
        let place = [named, tested].map(|named| named.place(document));
        if let Some(there) = self.training.get(&place).and_then(Weak::upgrade) {
            self.last = Some(there.clone());
            return Ok(there);
        }
        let whole = self.test(document, tested)?;
        let opened = whole.training_beside(Some(&named.spec), document.base(&named.key));
        let in_halves = |error| match error {
            Error::Mismatch(message) if named.spec == tested.spec => {
                Error::Mismatch(format!("{message} in `data`, and the tested images in `test`"))
            }
            other => other,
        };
        let opened = Arc::new(opened.map_err(in_halves).map_err(document.locate(&named.key))?);
        self.training.insert(place, Arc::downgrade(&opened));
        self.last = Some(opened.clone());
        Ok(opened)
    }
}
