//! What `crosspike import` makes of a network from elsewhere: a folder with its model and checkpoint, where it is the
//! recorded one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::said::Said;
use crate::announced;
use crate::atomic;
use crate::checkpoint::Checkpoint;
use crate::data::Recorded;
use crate::engine::sameness::{Compared, ROUNDED, Sameness};
use crate::error::{Error, Result};
use crate::network::readout::ReadoutKind;
use crate::network::{Layer, Model, Network};
use crate::nir::written::{Names, plain};
use crate::output::check_free;
use crate::train::{CHECKPOINT, MODEL};

/// The files of a folder that may be written.
pub(super) struct ImportedFiles {
    folder: PathBuf,
    files: [PathBuf; 2],
}

impl ImportedFiles {
    /// An error where a file is there and may not be overwritten.
    pub fn check(folder: &Path, force: bool) -> Result<Self> {
        let files = [MODEL, CHECKPOINT].map(|name| folder.join(name));
        files.iter().try_for_each(|file| check_free(file, force))?;
        Ok(ImportedFiles { folder: folder.into(), files })
    }

    /// Writes model and checkpoint, and says what became of what.
    pub fn write(
        &self,
        model: &str,
        checkpoint: &Checkpoint,
        names: &[Names],
        same: Option<&Sameness>,
    ) -> Result<Said> {
        let ImportedFiles { folder, files } = self;
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        files.iter().try_for_each(|file| announced::announce("OUTPUT", file))?;
        atomic::write(&files[0], model.as_bytes())?;
        checkpoint.write(&files[1])?;
        let of_layer =
            |(layer, matrix, neurons): &Names| json!({ "layer": layer, "matrix": matrix, "neurons": neurons });
        let layers: Vec<Value> = names.iter().map(of_layer).collect();
        let said = json!({ "wrote": files, "layers": layers, "sha256": checkpoint.hash() });
        let written = format!("wrote {} and {}", files[0].display(), files[1].display());
        let shown = same.map_or(String::new(), |sameness| format!("\n{}", show(sameness)));
        Ok(Said::new(format!("{written}\n{}{shown}", table(names)), said))
    }
}

/// Runs recorded inputs; an error where the network is another than the recorded one.
pub(super) fn verified(model: &Model, network: &Network, mut recorded: Recorded, names: &[Names]) -> Result<Sameness> {
    // A readout whose neurons fire gives counts alone.
    let counts = model.readout.kind == ReadoutKind::Count;
    let layers = model.layers();
    let readout = &layers.last().expect("a model has a readout").name;
    let neurons = |layer: &Layer| {
        let (name, _, neurons) = names.iter().find(|(name, ..)| *name == layer.name)?;
        neurons.clone().filter(|_| counts || name != readout)
    };
    let order: Vec<Option<String>> = layers.iter().map(neurons).collect();
    // A record may also have the names that layers have here, or those that they come from.
    for (name, _) in &mut recorded.spikes {
        let known = |(layer, _, neurons): &&Names| {
            layer == name || plain(name, &BTreeSet::new()) == *layer && neurons.is_some()
        };
        if !order.contains(&Some(name.clone()))
            && let Some((.., Some(neurons))) = names.iter().find(known)
        {
            *name = neurons.clone();
        }
    }
    let sameness = Sameness::of(model, network, &recorded, &order)?;
    match sameness.is_same() {
        true => Ok(sameness),
        false => Err(Error::Mismatch(format!(
            "the network is not the recorded one, and was not written:\n{}\n",
            show(&sameness)
        ))),
    }
}

/// An error about a record, with its file, and with advice where the network is another one.
pub(super) fn in_file(file: Option<&Path>, advice: &str, error: Error) -> Error {
    match error {
        Error::Mismatch(message) => {
            let advice = if message.ends_with('\n') { advice } else { "" };
            Error::file(file.unwrap_or(Path::new("")), format!("{message}{advice}"))
        }
        error => error,
    }
}

/// Layers, and what they were in the file.
fn table(names: &[Names]) -> String {
    let width = |of: &dyn Fn(&Names) -> usize, least: usize| names.iter().map(of).max().unwrap_or(0).max(least);
    let (first, second) = (width(&|names| names.0.len(), 12), width(&|names| names.1.len(), 16));
    let line = |(layer, matrix, neurons): &Names| {
        format!("{layer:<first$} {matrix:<second$} {}", neurons.as_deref().unwrap_or("–"))
    };
    let lines: Vec<String> = names.iter().map(line).collect();
    format!("{:<first$} {:<second$} neurons\n{}", "layer", "matrix", lines.join("\n"))
}

/// The comparison, layer by layer.
fn show(sameness: &Sameness) -> String {
    let mut lines = vec![];
    let verdict = |is_same: bool| if is_same { "" } else { ": not the same" };
    for layer in &sameness.layers {
        let Compared { name, spikes, apart, first } = layer;
        lines.push(match first {
            None => format!("{name}: {spikes} spikes, all the same"),
            Some((t, image, recorded, here)) => format!(
                "{name}: {apart} of {spikes} spikes differ, first at step {t} of series {image}, from 0: {recorded} \
                 spikes recorded, {here} here (accepted: {:.0}){}",
                (ROUNDED * *spikes as f64).floor(),
                verdict(layer.is_same())
            ),
        });
    }
    if let Some((apart, largest)) = sameness.logits {
        let because = if sameness.layers.iter().all(|layer| layer.apart == 0) { "" } else { ", for spikes differ" };
        lines.push(format!(
            "logits: {apart:.2e} apart at most, the largest is {largest:.4} (accepted: {:e} of it{because}){}",
            sameness.tolerance(),
            verdict(sameness.has_same_logits())
        ));
    }
    lines.join("\n")
}
