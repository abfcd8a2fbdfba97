//! The networks that a search trains for its candidates: each from the file's checkpoint, on hardware of the candidate,
//! once.
//!
//! Training sees the conditions, and of what is searched the keys of the training itself, of the model and of the RRAM;
//! those of the companion arrays too, where they are what is trained. Candidates that agree in these share a network.

use toml::Value;

use super::Search;
use crate::config::Document;
use crate::effect::Idle;
use crate::error::{Error, Result};
use crate::network::Model;
use crate::study::reader::Reader;
use crate::study::space::{GridPoint, TRAIN};
use crate::study::training_file::TrainingFile;
use crate::train::config::{Stage, TrainFile};
use crate::train::job::Job;

impl Search {
    /// Whether candidates' networks are trained.
    pub(super) fn trains(&self) -> bool {
        self.file.train.is_some()
    }

    /// The networks that may be trained, at most; none where they are more than can be counted, or candidates are not
    /// trained.
    pub fn trainings(&self) -> Option<u64> {
        let axes = self.space.axes.iter().filter(|axis| self.is_seen(&axis.key));
        self.file.train.as_ref()?;
        axes.map(|axis| axis.values.len() as u64).try_fold(1u64, u64::checked_mul)
    }

    /// Whether training sees a key of the space.
    fn is_seen(&self, key: &str) -> bool {
        let of_layer = key.strip_prefix("layer.").and_then(|rest| rest.split_once('.')).map_or(key, |(_, plain)| plain);
        let trains_arrays = self.file.train.as_ref().and_then(|train| train.get("stage")).and_then(Value::as_str);
        let seen = ["rram.", "model.", TRAIN].iter().any(|prefix| of_layer.starts_with(prefix));
        let of_arrays = of_layer.starts_with("sram.")
            && (trains_arrays == Some("sram") || self.space.axes.iter().any(|axis| axis.key == "train.stage"));
        seen || of_arrays || ["checkpoint", "profile", "encoding"].contains(&key)
    }

    /// The part of a candidate's point that its training sees.
    pub(super) fn training_point(&self, point: &GridPoint) -> GridPoint {
        let is_searched = |key: &str| self.space.axes.iter().any(|axis| axis.key == key);
        point.iter().filter(|(key, _)| !is_searched(key) || self.is_seen(key)).cloned().collect()
    }

    /// The keys of a point that are searched, with their values.
    pub(super) fn searched_keys<'p>(&self, point: &'p GridPoint) -> impl Iterator<Item = &'p (String, Value)> {
        point.iter().filter(|(key, _)| self.space.axes.iter().any(|axis| axis.key == *key))
    }

    /// The error of a candidate whose training goes wrong.
    pub(super) fn untrainable(&self, point: &GridPoint, why: String) -> Error {
        let key =
            self.searched_keys(point).find(|(key, _)| key.starts_with(TRAIN)).map(|(key, _)| format!("space.{key}"));
        self.document.error(&key.unwrap_or_else(|| "train".into()), why)
    }

    /// The training file of what training sees of a candidate.
    pub(super) fn training_file(&self, reader: &Reader, point: &GridPoint) -> Result<(Document, TrainFile)> {
        let mut training = TrainingFile::beside(&self.document, &self.file.model, self.file.seed)?;
        training.put_path("init", &reader.checkpoint(point), "checkpoint")?;
        for (key, value) in self.file.train.iter().flatten() {
            training.put(&format!("{TRAIN}{key}"), value.clone(), &format!("{TRAIN}{key}"))?;
        }
        for (key, value) in point.iter().filter(|(key, _)| *key == "encoding" || key.starts_with(TRAIN)) {
            training.put(key, value.clone(), &format!("space.{key}"))?;
        }
        let training = training.finish();
        let train_file = TrainFile::from_document(&training)?;
        if let Some(from) = self.file.held_out_from
            && train_file.train.limit.is_none_or(|limit| limit > from)
        {
            let is_searched = self.space.axes.iter().any(|axis| axis.key == "train.limit");
            let message = match train_file.train.limit {
                Some(limit) => format!("{limit}, and the search runs on training images from number {from} on"),
                None => format!("has no `limit`, and the search runs on training images from number {from} on"),
            };
            let key = match (is_searched, train_file.train.limit) {
                (true, _) => "space.train.limit",
                (false, Some(_)) => "train.limit",
                (false, None) => "train",
            };
            return Err(self.document.error(key, format!("{message} (held_out_from); expected at most {from}")));
        }
        Ok((training, train_file))
    }

    /// The keys of a training that have no effect there, of those that the file or the space sets.
    pub(super) fn unused(&self, training: &TrainFile) -> Idle {
        let is_searched = |key: &str| self.space.axes.iter().any(|axis| axis.key == key);
        let unused = training.unused().into_iter();
        unused.filter(|(key, _, is_set)| *is_set || is_searched(key)).map(|(key, why, _)| (key.into(), why)).collect()
    }

    /// The training of what training sees of a candidate.
    pub(super) fn job(&self, reader: &mut Reader, point: &GridPoint) -> Result<Job> {
        let (document, file) = self.training_file(reader, point)?;
        // Stage `rram` trains the RRAM's arrays alone, and keys of companion arrays may need one that is searched.
        let is_of_arrays = |key: &str| key.starts_with("sram.") || key.contains(".sram.");
        let hardware = point.iter().filter(|(key, _)| file.train.stage == Stage::Sram || !is_of_arrays(key));
        let (profile, _) = reader.profile(&hardware.cloned().collect())?;
        let model = Model::from_document(&reader.model_document(point)?)?;
        Job::new(&document, file, model, profile)
    }
}
