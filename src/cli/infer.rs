//! `crosspike infer`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::{Array2, Array3, Axis, stack};
use ndarray_npy::WriteNpyExt;
use serde_json::{Value, json};

use super::chips::{ChipArgs, Setup};
use super::inferred::{Inferred, Ran, Totals};
use super::{said::Said, terminal::Terminal};
use crate::announced;
use crate::atomic;
use crate::chip::Blueprint;
use crate::data::Dataset;
use crate::engine::Engine;
use crate::engine::evaluate::Evaluation;
use crate::engine::exit::ExitRule;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::Encoder;
use crate::network::weights::Loaded;
use crate::study::series::SeriesReport;
use crate::train::adapt::{Adaptation, Sample};

/// Evaluate a checkpoint on manufactured chips.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  crosspike infer --model models/digits.toml --checkpoint runs/quickstart/baseline.safetensors --data digits
  crosspike infer --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_4bit.toml \\
      --chips 20 --set rram.variation.scale=2 --set sram.bits=2 --set sram.init=residual --json out.json
  crosspike infer --model models/digits.toml --checkpoint C --data digits --exit confidence:0.9

Networks of other tools, of a NIR file and of a state dict (`crosspike import` compares them with a recording
and keeps them):
  crosspike infer --model net.nir --dt 1e-4 --data frames:test.npz --profile hw_profiles/rram_4bit.toml --chips 1000
  crosspike infer --as resnet20 --checkpoint weights.pth --data cifar10:DIR --encoding direct --chips 1000 \\
      --profile hw_profiles/rram_4bit.toml

A page of what the chips came to, with its tables:
  crosspike infer --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_4bit.toml \\
      --chips 20 --report runs/chips

--exit also reports what stopping early comes to, beside the results of all steps: accuracy, steps run, energy,
and the percent of steps, spikes and input pulses saved. The logits are what the readout reads of the steps run.
gamma:TH stops after the first step at which every spiking layer's mean γ is below TH (0.1 where only `gamma` is
given); confidence:TH stops each image once its largest softmax probability reaches TH. In the JSON it is
`early_exit`; the rest of the report, and --logits, are of all steps.

--adapt N estimates each chip's batch-norm statistics anew on N batches of training images, without labels,
weights and γ untouched. The images are those of the training half of --data; where that is a single file, name
others:
  crosspike infer --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_4bit.toml \\
      --chips 20 --set rram.variation.scale=2 --adapt 8
  crosspike infer --model M --checkpoint C --data frames:test.npz --adapt 8 --adapt-batch 32 \\
      --adapt-data frames:train.npz")]
pub struct Args {
    #[command(flatten)]
    chips: ChipArgs,
    #[command(flatten)]
    nir: super::import_nir::Args,
    /// Stop early by gamma, gamma:TH or confidence:TH, and report it beside the results of all steps.
    #[arg(long, help_heading = "Measured and written", value_name = "RULE")]
    #[arg(value_parser = |rule: &str| rule.parse::<ExitRule>().map_err(|e| e.to_string()))]
    exit: Option<ExitRule>,
    /// Adapt the batch norms of each chip on so many batches of training images.
    #[arg(long, help_heading = "Measured and written", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=65536))]
    adapt: Option<u64>,
    /// Images of a batch to adapt on.
    #[arg(long, help_heading = "Measured and written", value_name = "B", default_value_t = 64, requires = "adapt",
        value_parser = clap::value_parser!(u64).range(2..=65536))]
    adapt_batch: u64,
    /// The data set to adapt on; default: the training half of --data.
    #[arg(long, help_heading = "Measured and written", value_name = "SPEC", requires = "adapt")]
    adapt_data: Option<String>,
    /// Print what the kernels of each layer took on the GPU, by its own clock.
    #[arg(long, help_heading = "Measured and written")]
    timings: bool,
    /// Write the logits, f32 [chips, images, classes], to this .npy file, replacing it.
    #[arg(long, help_heading = "Measured and written", value_name = "F.npy")]
    logits: Option<PathBuf>,
    /// Write tables and a page to this folder: accuracy over chips, where spikes, energy and area are, the floor
    /// plan; all of them of all steps.
    #[arg(long, help_heading = "Measured and written", value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Overwrite an earlier report.
    #[arg(long, help_heading = "Measured and written", requires = "report")]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    args.logits.as_deref().map_or(Ok(()), |path| announced::announce("--logits", path))?;
    let setup = args.chips.read(Some(&args.nir))?;
    let adapted = args.sample().map(|sample| Adapted::open(sample, &setup)).transpose()?;
    let training = adapted.as_ref().map(|adapted| &adapted.training);
    let blueprint = args.chips.made.blueprint(&setup, training.map(Dataset::range))?;
    let blueprint = blueprint.remarked(training.into_iter().flat_map(Dataset::notices));
    let engine = args.engine()?;
    let evaluation = args.evaluation(&setup, &blueprint, engine.as_ref(), adapted.as_ref())?;
    let terminal = Terminal::default();
    blueprint.notices().iter().for_each(|notice| terminal.line(notice));
    let origin = args.origin(&setup, &blueprint, engine.as_ref(), adapted.as_ref())?;
    // An earlier report goes only after what settings and memory refuse.
    evaluation.check(&blueprint)?;
    let claim = |folder: &PathBuf| SeriesReport::claim(folder, &origin, args.force);
    let mut page = args.report.as_ref().map(claim).transpose()?;
    let price = Price::of(&blueprint);
    let mut totals = Totals::new(&setup.model, args.logits.is_some());
    terminal.begin("chips", args.chips.indices().count() as u64);
    evaluation.series(&blueprint, args.chips.indices(), |index, result| {
        totals.add(index, result, setup.model.steps, &price);
        if let Some(page) = &mut page {
            page.push(index, result, setup.model.steps, &price);
        }
        terminal.progress(totals.chips(), "");
        if terminal.stop() {
            terminal.end();
            return Err(Error::Interrupted(String::new()));
        }
        Ok(())
    })?;
    terminal.end();
    if let Some(seconds) = evaluation.programming_seconds().filter(|_| setup.profile.wires.drop()) {
        terminal.line(&format!("programming a chip with its lines took {seconds:.2} s; they cost nothing afterwards"));
    }
    let failed = args.logits.as_deref().and_then(|path| write_logits(path, &totals.logits).err());
    let ran = Ran {
        backend: engine.name(),
        is_ideal: args.chips.made.is_ideal(),
        exit: args.exit,
        adapted: adapted.map(|adapted| adapted.said()),
        kernels: args.timings.then(|| engine.kernel_times()),
    };
    let mut found = Inferred::new(totals, ran, &setup, &blueprint, &price);
    let notes = blueprint.notices().into_iter().chain(found.notes()).collect();
    found.page = page.map(|page| page.finish(&blueprint, notes)).transpose()?;
    Ok(Said::new(found.words(), found.json(origin)).failing(failed))
}

/// The training images that the norms of each chip are adapted on.
struct Adapted {
    sample: Sample,
    training: Dataset,
}

impl Adapted {
    fn open(sample: Sample, setup: &Setup) -> Result<Self> {
        let training = setup.whole.training_beside(sample.data.as_deref(), Path::new(""));
        Ok(Adapted { sample, training: training.map_err(of_option("--adapt-data"))? })
    }

    fn said(&self) -> String {
        let (Sample { batches, images, .. }, data) = (&self.sample, self.training.spec());
        format!("each chip's norms were adapted on {batches} batches of {images} training images of `{data}`")
    }
}

impl Args {
    /// What to adapt on, if chips are to be adapted.
    fn sample(&self) -> Option<Sample> {
        let (images, data) = (self.adapt_batch as usize, self.adapt_data.clone());
        self.adapt.map(|batches| Sample { batches: batches as usize, images, data })
    }

    /// The engine, with a clock for kernels where their times are asked for.
    fn engine(&self) -> Result<Box<dyn Engine>> {
        let mut engine = self.chips.engine()?;
        if self.timings && !engine.time_kernels() {
            let message = format!(
                "--timings: `{}` has no clock for kernels; expected a GPU that has one, with --backend gpu",
                engine.name()
            );
            return Err(Error::Usage(message));
        }
        Ok(engine)
    }

    /// Gives the settings and hashes that the results depend on.
    fn origin(
        &self,
        setup: &Setup,
        blueprint: &Blueprint,
        engine: &dyn Engine,
        adapted: Option<&Adapted>,
    ) -> Result<Value> {
        let mut origin = self.chips.origin("infer", setup, blueprint, engine)?;
        let fingerprint = adapted.map(|adapted| adapted.training.fingerprint()).transpose()?;
        for (key, value) in [
            ("exit", json!(self.exit)),
            ("adapt", json!(adapted.map(|adapted| &adapted.sample))),
            ("adapt_data_fingerprint", json!(fingerprint)),
        ] {
            origin["configuration"][key] = value;
        }
        Ok(origin)
    }

    /// Sets up the evaluation of each chip.
    fn evaluation<'a>(
        &self,
        setup: &'a Setup,
        blueprint: &Blueprint,
        engine: &'a dyn Engine,
        adapted: Option<&Adapted>,
    ) -> Result<Evaluation<'a>> {
        let (Setup { model, data, loaded: Loaded { network, .. }, .. }, inputs) = (setup, blueprint.inputs());
        let seed = self.chips.made.seed;
        let draw = |Adapted { sample, training }: &Adapted| {
            Adaptation::draw(network, model, training, inputs, seed, sample).map_err(of_option("--adapt"))
        };
        let adaptation = adapted.map(draw).transpose()?;
        let evaluation = Evaluation::on(engine, data, Encoder::new(inputs, model.input, seed, 0), model.steps);
        Ok(evaluation
            .batches_of(self.chips.batch as usize)
            .exiting(self.exit.map(|rule| rule.of(model, network)).transpose()?)
            .preparing(adaptation.map(|adaptation| Arc::new(adaptation).preparation())))
    }
}

/// Gives an error that knows no place the option that it is about; others have their own.
fn of_option(option: &str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Usage(message) | Error::Mismatch(message) => Error::Usage(format!("{option}: {message}")),
        placed => placed,
    }
}

fn write_logits(path: &Path, chips: &[Array2<f32>]) -> Result<()> {
    let views: Vec<_> = chips.iter().map(|logits| logits.view()).collect();
    let logits: Array3<f32> = stack(Axis(0), &views).map_err(|e| Error::file(path, e.to_string()))?;
    let mut bytes = Vec::new();
    logits.write_npy(&mut bytes).map_err(|e| Error::file(path, e.to_string()))?;
    atomic::write(path, &bytes)
}
