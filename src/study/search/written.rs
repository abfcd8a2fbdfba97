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
use crate::study::reader::ADAPT;
use crate::study::shell::quoted;
use crate::study::space::{GridPoint, TRAIN, cell};
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
            for (key, value) in point.iter().filter(|(key, _)| key.starts_with(TRAIN)) {
                said += &format!("# It was trained with {key} = {value}.\n");
            }
            let trained = run.network(point);
            if let Some(network) = trained {
                let bytes = std::fs::read(network).map_err(Error::io(network))?;
                folder.write(&format!("{name}.safetensors"), &bytes)?;
            }
            let has_model =
                point.iter().any(|(key, _)| key.starts_with("model.")) || !search.overrides.model.is_empty();
            let own = [has_model.then(|| format!("{name}_model.toml")), trained.map(|_| format!("{name}.safetensors"))];
            let options = search.options(point, format!("{name}.toml"), own).join(" ");
            said +=
                &format!("# crosspike infer {options}, and for the rest model, checkpoint and data of the search.\n");
            folder.write(&format!("{name}.toml"), format!("{said}{}", hardware.to_toml()).as_bytes())?;
            if has_model {
                folder.write(&format!("{name}_model.toml"), format!("{said}{}", network.to_toml()).as_bytes())?;
            }
        }
        Ok(())
    }
}

impl Search {
    /// The options with which `infer` runs a point on its profile, and on a model and a checkpoint of its own where it
    /// has them; what all candidates share is not among them.
    fn options(&self, point: &GridPoint, profile: String, [model, checkpoint]: [Option<String>; 2]) -> Vec<String> {
        let file = &self.file;
        let own = |key: &str| point.iter().find(|(own, _)| own == key).map(|(_, value)| cell(value));
        let adapt = |key: &str| own(&format!("{ADAPT}{key}")).or_else(|| file.adapt.get(key).map(cell));
        let is_adapted = adapt("batches").is_some_and(|batches| batches != "0");
        let beside = file.test.is_some().then(|| file.data.clone());
        let exit = own("exit").or_else(|| file.exit.map(|rule| rule.to_string())).filter(|rule| rule != "none");
        let options = [
            ("model", model),
            ("profile", Some(profile)),
            ("checkpoint", checkpoint.or_else(|| own("checkpoint"))),
            ("encoding", own("encoding").or_else(|| file.encoding.map(|encoding| encoding.to_string()))),
            ("exit", exit),
            ("adapt", adapt("batches").filter(|_| is_adapted)),
            ("adapt-batch", adapt("images").filter(|_| is_adapted)),
            ("adapt-data", adapt("data").or(beside).filter(|_| is_adapted)),
            ("seed", Some(file.seed.to_string())),
        ];
        let of = |(name, value): (&str, Option<String>)| value.map(|value| format!("--{name} {}", quoted(&value)));
        options.into_iter().filter_map(of).collect()
    }

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
