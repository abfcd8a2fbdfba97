//! NIR files: their options, of `crosspike import` and `infer`, and the import itself.

use std::path::Path;

use clap::ValueEnum;

use super::imported::{ImportedFiles, in_file, verified};
use super::said::Said;
use super::terminal::note;
use crate::data::Recorded;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::network::neuron::{Fires, ResetAt};
use crate::network::readout::ReadoutKind;
use crate::nir::discrete::Discretisation;
use crate::nir::options::{NirOptions, Reset};
use crate::nir::{Imported, import};

/// The options of NIR files.
#[derive(clap::Args)]
#[command(next_help_heading = "NIR files")]
#[group(id = "NirArgs")]
pub struct Args {
    /// Seconds of a time step.
    #[arg(long, value_name = "SECONDS")]
    dt: Option<f64>,
    /// How neurons of continuous time step: forward Euler, as the simulators do, or the exact solution (default:
    /// euler).
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
    /// What logits are (default: count of neurons that fire, last potential of those that do not, mean of sums without
    /// neurons).
    #[arg(long, value_name = "KIND")]
    readout: Option<ReadoutArg>,
    /// Time steps of the model; infer and train may set others (--set model.steps=N) (default: those of --verify, or
    /// 20).
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodArg {
    Euler,
    Exact,
}

#[derive(Clone, Copy, ValueEnum)]
enum ResetArg {
    /// The reset goes to the node's v_reset, or to 0.
    Value,
    /// The threshold is taken away.
    Subtract,
    /// A spike leaves the potential as it is.
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
        let Args { dt, method, reset, reset_at, fires, readout, steps } = self;
        let set = [
            ("--dt", dt.is_some()),
            ("--method", method.is_some()),
            ("--reset", reset.is_some()),
            ("--reset-at", reset_at.is_some()),
            ("--fires", fires.is_some()),
            ("--readout", readout.is_some()),
            ("--steps", steps.is_some()),
        ];
        match set.into_iter().find(|(_, set)| *set) {
            Some((option, _)) => Err(Error::Usage(format!("{option} is of NIR files, and this is none"))),
            None => Ok(()),
        }
    }

    /// Reads a file and writes a folder.
    pub fn run(&self, input: &Path, output: &Path, force: bool, verify: Option<&Path>) -> Result<Said> {
        let folder = ImportedFiles::check(output, force)?;
        let recorded = verify.map(Recorded::open).transpose()?;
        let imported = self.imported(input, recorded.as_ref().map(|recorded| recorded.sizes.1))?;
        let Imported { text, model, checkpoint, notices, names } = imported;
        notices.iter().for_each(|notice| note(notice));
        if self.steps.is_none() && recorded.is_none() {
            note(&format!("model.steps = {}: a NIR file does not say how many there are; --steps does", model.steps));
        }
        let network = Network::load(&model, &checkpoint)?.network;
        let advice = "--dt, --reset, --reset-at and --fires say what a NIR file does not";
        let same = recorded
            .map(|recorded| verified(&model, &network, recorded, &names).map_err(|e| in_file(verify, advice, e)));
        folder.write(&text, &checkpoint, &names, same.transpose()?.as_ref())
    }

    /// The network of a file, of so many steps where the options say nothing else.
    pub fn imported(&self, input: &Path, steps: Option<usize>) -> Result<Imported> {
        let Some(dt) = self.dt else {
            return Err(Error::Usage(
                "a NIR file is in continuous time: expected --dt SECONDS, the time of a step (1 where neurons count in \
                 steps)".into(),
            ));
        };
        let stem = input.file_stem().map_or("network".into(), |stem| stem.to_string_lossy().into_owned());
        import(input, &self.options(dt, stem, steps))
    }

    fn options(&self, dt: f64, name: String, recorded: Option<usize>) -> NirOptions {
        NirOptions {
            name,
            dt,
            method: match self.method {
                Some(MethodArg::Exact) => Discretisation::Exact,
                _ => Discretisation::Euler,
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
