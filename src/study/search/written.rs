//! The files of a search: tables of what was judged and tried, and the profiles that were found.

use std::path::Path;

use serde_json::json;
use toml::Value;

use super::answer::SearchAnswer;
use super::run::SearchRun;
use super::{Search, TRIED_CSV};
use crate::config::Document;
use crate::error::{Error, Result};
use crate::output::{OutputFolder, canonical};
use crate::study::cell::TableValue;
use crate::study::reader::is_own;
use crate::study::space::{GridPoint, cell};
use crate::study::{ANSWER, table};

impl SearchAnswer {
    /// Writes the tables, the answer, and for each point that was found its profile, and its model where that is not
    /// the file's own.
    pub(super) fn write(&self, search: &Search, run: &SearchRun, folder: &OutputFolder) -> Result<()> {
        table::write(folder, &self.points)?;
        folder.write(TRIED_CSV, tried(search, run).as_bytes())?;
        folder.write(ANSWER, canonical(&json!(self)).as_bytes())?;
        // A search writes the same bytes from every folder, so it is named by its file alone.
        let file = Path::new(search.document.file().file_name().unwrap_or_default());
        for (label, point) in &self.found {
            let name = match label.strip_prefix("front ") {
                Some(number) => format!("front_{number}"),
                None if label == "next" => "next".into(),
                None => "best".into(),
            };
            let (hardware, network) = search.documents(point)?;
            let mut said = format!("# {}: {label} of a search, `{}`.\n", search.name(), file.display());
            for (key, value) in point.iter().filter(|(key, _)| is_own(key)) {
                said += &format!("# Beside this profile it has {key} = {value}.\n");
            }
            if let Some(network) = run.network(point) {
                said += &format!("# Its network is {name}.safetensors.\n");
                let bytes = std::fs::read(network).map_err(Error::io(network))?;
                folder.write(&format!("{name}.safetensors"), &bytes)?;
            }
            folder.write(&format!("{name}.toml"), format!("{said}{}", hardware.to_toml()).as_bytes())?;
            let has_model = point.iter().any(|(key, _)| key.starts_with("model."));
            if has_model || !search.overrides.model.is_empty() {
                folder.write(&format!("{name}_model.toml"), format!("{said}{}", network.to_toml()).as_bytes())?;
            }
        }
        Ok(())
    }
}

impl Search {
    /// The profile and the model of a point, their paths from anywhere.
    fn documents(&self, point: &GridPoint) -> Result<(Document, Document)> {
        let mut reader = self.reader(self.file.seen())?;
        let (_, mut hardware) = reader.profile(point)?;
        let sections: Vec<String> = match hardware.table_at("layer").and_then(Value::as_table) {
            Some(layers) => layers.keys().map(|layer| format!("layer.{layer}.")).collect(),
            None => vec![],
        };
        for section in std::iter::once(String::new()).chain(sections) {
            for (key, prefix) in [("rram.variation.file", ""), ("sram.init", "checkpoint:")] {
                let key = format!("{section}{key}");
                let Some(path) =
                    hardware.table_at(&key).and_then(Value::as_str).and_then(|text| text.strip_prefix(prefix))
                else {
                    continue;
                };
                let path = hardware.base(&key).join(path);
                let path = std::path::absolute(&path).map_err(Error::io(&path))?;
                let value = Value::String(format!("{prefix}{}", path.display()));
                hardware.set_value(&key, value, self.document.place("profile"), "".as_ref())?;
            }
        }
        Ok((hardware, reader.model_document(point)?))
    }
}

/// The table of all candidates in the order in which they were tried: settings, chips, accuracy and costs.
fn tried(search: &Search, run: &SearchRun) -> String {
    let keys = search.space.axes.iter().map(|axis| axis.key.clone());
    let costs = search.goals.costs.iter().map(|name| (*name).to_owned());
    let more = ["chips", "accuracy_mean", "violation", "keeps_to_constraints"].map(String::from);
    let mut rows = vec![keys.chain(more).chain(costs).collect::<Vec<String>>()];
    for candidate in &run.candidates {
        let Some(standing) = &candidate.standing else { continue };
        let accuracy = standing.accuracies.iter().sum::<f64>() / standing.accuracies.len() as f64;
        let keeps = match (standing.is_met, standing.is_missed) {
            (true, _) => "surely",
            (_, true) => "surely not",
            _ => "not sure",
        };
        let values = search.space.point(&candidate.genes).into_iter().map(|(_, value)| cell(&value));
        let own = [
            candidate.chips.to_string(),
            TableValue::Number(accuracy).text(),
            TableValue::Number(standing.fitness.violation).text(),
            keeps.into(),
        ];
        let costs = standing
            .fitness
            .objectives
            .iter()
            .take(search.goals.costs.len())
            .map(|cost| TableValue::Number(*cost).text());
        rows.push(values.chain(own).chain(costs).collect());
    }
    let mut writer = csv::Writer::from_writer(vec![]);
    rows.iter().for_each(|row| writer.write_record(row).expect("rows of one length in memory"));
    String::from_utf8(writer.into_inner().expect("memory")).expect("text")
}
