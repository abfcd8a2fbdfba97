//! `crosspike import` of a NIR file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::said::Said;
use super::terminal::note;
use crate::announced;
use crate::atomic;
use crate::data::Recorded;
use crate::engine::sameness::{Compared, Sameness, TOLERANCE};
use crate::error::{Error, Result};
use crate::network::neuron::{Fires, ResetAt};
use crate::network::readout::ReadoutKind;
use crate::network::{Layer, Model, Network};
use crate::nir::discrete::Method;
use crate::nir::import::{Names, Options, Reset, plain};
use crate::nir::{Imported, import};

/// The options of NIR files.
#[derive(clap::Args)]
#[command(next_help_heading = "NIR files")]
pub struct Args {
    /// Seconds of a time step.
    #[arg(long, value_name = "SECONDS")]
    dt: Option<f64>,
    /// How neurons of continuous time step: forward Euler, as the simulators do, or the exact solution (default: euler).
    #[arg(long, value_name = "METHOD")]
    method: Option<MethodArg>,
    /// What a spike does to the potential (default: value, the node's v_reset or 0).
    #[arg(long, value_name = "RESET")]
    reset: Option<ResetArg>,
    /// When: at the spike, or in the next step, behind its leak and input (default: spike).
    #[arg(long, value_name = "WHEN")]
    reset_at: Option<ResetAtArg>,
    /// Whether a potential fires above the threshold alone, or also where it is reached (default: above).
    #[arg(long, value_name = "WHERE")]
    fires: Option<FiresArg>,
    /// What logits are (default: count of neurons that fire, last potential of those that do not, mean of sums without neurons).
    #[arg(long, value_name = "KIND")]
    readout: Option<ReadoutArg>,
    /// Time steps of the model; infer and train may set others (--set model.steps=N) (default: those of --verify, or 20).
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Recorded inputs (`frames`) and what the network made of them (`logits`, `spikes.NODE`), as a NumPy archive: run them, compare, and
    /// fail where they differ.
    #[arg(long, value_name = "FILE.npz")]
    verify: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodArg {
    Euler,
    Exact,
}

#[derive(Clone, Copy, ValueEnum)]
enum ResetArg {
    /// To the node's v_reset, or 0.
    Value,
    /// The threshold is taken away.
    Subtract,
    /// Nothing.
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum ResetAtArg {
    Spike,
    Next,
}

#[derive(Clone, Copy, ValueEnum)]
enum FiresArg {
    Above,
    Reached,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReadoutArg {
    Mean,
    Last,
    Largest,
    Count,
    First,
}

impl Args {
    /// An error where an option is set and the file is no NIR file.
    pub fn refuse(&self) -> Result<()> {
        let Args { dt, method, reset, reset_at, fires, readout, steps, verify } = self;
        let set = [
            ("--dt", dt.is_some()),
            ("--method", method.is_some()),
            ("--reset", reset.is_some()),
            ("--reset-at", reset_at.is_some()),
            ("--fires", fires.is_some()),
            ("--readout", readout.is_some()),
            ("--steps", steps.is_some()),
            ("--verify", verify.is_some()),
        ];
        match set.into_iter().find(|(_, set)| *set) {
            Some((option, _)) => Err(Error::Usage(format!("{option} is of NIR files, and this is none"))),
            None => Ok(()),
        }
    }

    /// Reads a file and writes a folder.
    pub fn run(&self, input: &Path, output: &Path, force: bool) -> Result<Said> {
        let files = ["model.toml", "checkpoint.safetensors"].map(|name| output.join(name));
        if let Some(file) = files.iter().find(|file| file.exists()).filter(|_| !force) {
            return Err(Error::Usage(format!("{} exists; use --force to overwrite it", file.display())));
        }
        let Some(dt) = self.dt else {
            return Err(Error::Usage(
                "a NIR file is in continuous time: expected --dt SECONDS, the time of a step (1 where neurons count in steps)".into(),
            ));
        };
        let stem = input.file_stem().map_or("network".into(), |stem| stem.to_string_lossy().into_owned());
        let recorded = self.verify.as_deref().map(Recorded::open).transpose()?;
        let options = self.options(dt, stem, recorded.as_ref().map(|recorded| recorded.sizes.1));
        let Imported { text, model, checkpoint, notices, names } = import(input, &options)?;
        notices.iter().for_each(|notice| note(notice));
        let network = Network::load(&model, &checkpoint)?.network;
        // A network that is another than the recorded one is not written.
        let sameness = recorded.map(|recorded| self.verified(&model, &network, recorded, &names)).transpose()?;
        std::fs::create_dir_all(output).map_err(Error::io(output))?;
        announced::announce("OUTPUT", &files[0])?;
        announced::announce("OUTPUT", &files[1])?;
        atomic::write(&files[0], text.as_bytes())?;
        checkpoint.write(&files[1])?;
        let of_layer =
            |(layer, matrix, neurons): &Names| json!({ "layer": layer, "matrix": matrix, "neurons": neurons });
        let layers: Vec<Value> = names.iter().map(of_layer).collect();
        let said = json!({ "wrote": files, "layers": layers, "sha256": checkpoint.hash() });
        let written = format!("wrote {} and {}", files[0].display(), files[1].display());
        let shown = sameness.map_or(String::new(), |sameness| format!("\n{}", show(&sameness)));
        Ok(Said::new(format!("{written}\n{}{shown}", table(&names)), said))
    }

    /// Runs recorded inputs; an error where the network is another than the recorded one.
    fn verified(&self, model: &Model, network: &Network, mut recorded: Recorded, names: &[Names]) -> Result<Sameness> {
        // Of a readout's neurons there are the counts alone.
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
        let file = self.verify.as_deref().unwrap_or(Path::new(""));
        let sameness = Sameness::of(model, network, &recorded, &order).map_err(|error| match error {
            Error::Mismatch(message) => Error::file(file, message),
            error => error,
        })?;
        match sameness.is_same() {
            true => Ok(sameness),
            false => Err(Error::file(
                file,
                format!(
                    "the network is not the recorded one, and was not written:\n{}\n--dt, --reset, --reset-at and --fires say what a NIR file \
                     does not",
                    show(&sameness)
                ),
            )),
        }
    }

    fn options(&self, dt: f64, name: String, recorded: Option<usize>) -> Options {
        Options {
            name,
            dt,
            method: match self.method {
                Some(MethodArg::Exact) => Method::Exact,
                _ => Method::Euler,
            },
            reset: match self.reset {
                Some(ResetArg::Subtract) => Reset::Subtract,
                Some(ResetArg::None) => Reset::None,
                _ => Reset::Value,
            },
            reset_at: match self.reset_at {
                Some(ResetAtArg::Next) => ResetAt::Next,
                _ => ResetAt::Spike,
            },
            fires: match self.fires {
                Some(FiresArg::Reached) => Fires::Reached,
                _ => Fires::Above,
            },
            readout: self.readout.map(|readout| match readout {
                ReadoutArg::Mean => ReadoutKind::Mean,
                ReadoutArg::Last => ReadoutKind::Last,
                ReadoutArg::Largest => ReadoutKind::Largest,
                ReadoutArg::Count => ReadoutKind::Count,
                ReadoutArg::First => ReadoutKind::First,
            }),
            steps: self.steps.or(recorded).unwrap_or(20),
        }
    }
}

/// Layers, and what they were in the file.
fn table(names: &[Names]) -> String {
    let line =
        |(layer, matrix, neurons): &Names| format!("{layer:<12} {matrix:<16} {}", neurons.as_deref().unwrap_or("–"));
    let lines: Vec<String> = names.iter().map(line).collect();
    format!("layer        matrix           neurons\n{}", lines.join("\n"))
}

/// The comparison, layer by layer.
fn show(sameness: &Sameness) -> String {
    let mut lines = vec![];
    for Compared { name, spikes, apart, first } in &sameness.layers {
        lines.push(match first {
            None => format!("{name}: {spikes} spikes, all the same"),
            Some((t, image, recorded, here)) => format!(
                "{name}: {apart} of {spikes} spikes differ, first at step {t} of series {image}, from 0: {recorded} spikes recorded, {here} here"
            ),
        });
    }
    if let Some((apart, largest)) = sameness.logits {
        lines.push(format!(
            "logits: {apart:.2e} apart at most, the largest is {largest:.4} (accepted: {TOLERANCE:e} of it)"
        ));
    }
    lines.join("\n")
}
