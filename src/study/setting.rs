//! A point of a sweep, resolved: what its chips are, the network on them, and the images that judge them.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::data::Dataset;
use crate::engine::exit::ExitRule;
use crate::network::{Encoding, Model, Network};
use crate::profile::Profile;
use crate::study::case::Case;
use crate::study::sets::Named;
use crate::study::trial::Key;
use crate::system::Areas;
use crate::train::adapt::Sample;

/// A network and the images that it is judged on, which some points share.
pub(super) struct Subject {
    pub model: Model,
    pub network: Network,
    /// The file that it is from.
    pub path: PathBuf,
    /// Its [`Network::hash`].
    pub network_hash: String,
    /// The SHA-256 of the checkpoint's tensors.
    pub checkpoint: String,
    pub encoding: Encoding,
    pub data: Arc<Dataset>,
    /// The identity of those images, and of the training images beside them.
    pub names: [Named; 2],
}

/// One point: what is set, and the hardware and network that come of it.
#[derive(Clone)]
pub(super) struct Setting {
    pub shown: Vec<(String, String)>,
    pub profile: Profile,
    pub subject: Arc<Subject>,
    /// The images that converters' ranges are profiled on, where any are.
    pub profiled: Option<Arc<Dataset>>,
    /// The images that every chip's norms are adapted on.
    pub adapt: Option<(Sample, Arc<Dataset>)>,
    pub exit: Option<ExitRule>,
    /// The images of each chip, where each has some of its own.
    pub per_chip: Option<usize>,
    /// The areas of a chip's layers and components.
    pub areas: Areas,
    pub key: Key,
}

impl Setting {
    /// The value that is set, or in force, at a key of the sweep's points.
    pub fn shown_at(&self, key: &str) -> &str {
        self.shown.iter().find(|(other, _)| other == key).map_or("", |(_, value)| value)
    }

    /// Its layers' names, and how many neurons each leads on the chips that answer together.
    pub fn neurons(&self) -> Vec<(String, usize)> {
        self.subject.model.neurons_on(self.profile.system.ensemble)
    }

    /// The names and numbers that tell a reader what runs: network, hardware, images, and how many chips of which seed.
    pub fn ran(&self, chips: u64, seed: u64) -> Value {
        let Subject { model, checkpoint, data, .. } = &*self.subject;
        let mut ran = json!({
            "profile": { "name": self.profile.name },
            "model": { "name": model.name },
            "checkpoint_sha256": checkpoint,
            "data": data.spec(),
            "images": data.len(),
            "chips": chips,
            "seed": seed,
        });
        if let Some(images) = self.per_chip {
            ran["images_per_chip"] = images.into();
        }
        ran
    }

    /// Everything that determines its trials, with the seed of the sweep.
    pub fn case(&self, seed: u64) -> Case<'_> {
        let Subject { model, network, network_hash, encoding, data, .. } = &*self.subject;
        Case {
            profile: &self.profile,
            model,
            network: (network, network_hash),
            encoding: *encoding,
            seed,
            data,
            per_chip: self.per_chip,
            profiled: self.profiled.as_deref(),
            adapt: self.adapt.as_ref().map(|(sample, training)| (sample, &**training)),
            exit: self.exit,
            attack: None,
        }
    }
}
