//! `crosspike infer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ndarray::{Array2, Array3, Axis, stack};
use ndarray_npy::WriteNpyExt;
use serde_json::{Value, json};

use super::chips::{ChipArgs, MadeFrom, Setup};
use super::{said::Said, terminal::Terminal};
use crate::announced;
use crate::atomic;
use crate::data::Dataset;
use crate::engine::Counts;
use crate::engine::evaluate::Evaluation;
use crate::engine::exit::{ExitOfChip, ExitRule, ExitSummary};
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::weights::Loaded;
use crate::network::{Encoder, Layer, LayerKind, Model};
use crate::numeric::stats::summarise;
use crate::study::series::SeriesReport;
use crate::system::Spent;
use crate::system::spikesim::SpikeSim;
use crate::train::adapt::{Adaptation, Sample};

/// Evaluate a checkpoint on manufactured chips.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  crosspike infer --model models/digits.toml --checkpoint runs/baseline/checkpoint.safetensors --data digits
  crosspike infer --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_4bit.toml \\
      --chips 20 --set rram.variation.scale=2 --set sram.bits=2 --set sram.init=residual --json out.json
  crosspike infer --model models/digits.toml --checkpoint C --data digits --exit confidence:0.9

Networks of other tools, of a NIR file and of a state dict (`crosspike import` compares them with a recording and keeps them):
  crosspike infer --model net.nir --dt 1e-4 --data frames:test.npz --profile hw_profiles/rram_4bit.toml --chips 1000
  crosspike infer --as resnet20 --checkpoint weights.pth --data cifar10:DIR --encoding direct --chips 1000 \
      --profile hw_profiles/rram_4bit.toml

A page of what the chips came to, with its tables:
  crosspike infer --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_4bit.toml \\
      --chips 20 --report runs/chips

--exit also reports what stopping early comes to, beside the results of all steps: accuracy, steps run, energy, and the
percent of steps, spikes and input pulses saved. The logits are what the readout reads of the steps run. gamma:TH stops after the first
step at which every spiking layer's mean γ is below TH (0.1 where only `gamma` is given); confidence:TH stops each image
once its largest softmax probability reaches TH. In the JSON it is `early_exit`; the rest of the report, and --logits, are
of all steps.

--adapt N estimates each chip's batch-norm statistics anew on N batches of training images, without labels, weights and γ
untouched. The images are those of the training half of --data; where that is a single file, name others:
  crosspike infer --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_4bit.toml \\
      --chips 20 --set rram.variation.scale=2 --adapt 8
  crosspike infer --model M --checkpoint C --data frames:test.npz --adapt 8 --adapt-batch 32 --adapt-data frames:train.npz")]
pub struct Args {
    #[command(flatten)]
    chips: ChipArgs,
    #[command(flatten)]
    nir: super::import_nir::Args,
    /// Stop early by gamma, gamma:TH or confidence:TH, and report it beside the results of all steps.
    #[arg(long, help_heading = "Measured and written", value_name = "RULE", value_parser = |rule: &str| rule.parse::<ExitRule>().map_err(|e| e.to_string()))]
    exit: Option<ExitRule>,
    /// Adapt the batch norms of each chip on so many batches of training images.
    #[arg(long, help_heading = "Measured and written", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=65536))]
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
    let ChipArgs { made: MadeFrom { seed, .. }, batch, .. } = args.chips;
    let indices = args.chips.indices();
    let chips = indices.clone().count() as u64;
    let setup = args.chips.read(Some(&args.nir))?;
    let Setup { model, data, loaded: Loaded { network, .. }, .. } = &setup;
    let sample = args.sample();
    let open = |sample: &Sample| setup.whole.training_beside(sample.data.as_deref(), Path::new(""));
    let training = sample.as_ref().map(open).transpose().map_err(of_option("--adapt-data"))?;
    let blueprint = args.chips.made.blueprint(&setup, training.as_ref().map(Dataset::range))?;
    let blueprint = blueprint.remarked(training.iter().flat_map(Dataset::notices));
    let draw = |(sample, training): (&Sample, &Dataset)| {
        Adaptation::draw(network, model, training, blueprint.inputs(), seed, sample).map_err(of_option("--adapt"))
    };
    let adaptation = sample.as_ref().zip(training.as_ref()).map(draw).transpose()?;
    let mut engine = args.chips.engine()?;
    if args.timings && !engine.time_kernels() {
        let message = format!(
            "--timings: `{}` has no clock for kernels; expected a GPU that has one, with --backend gpu",
            engine.name()
        );
        return Err(Error::Usage(message));
    }
    let terminal = Terminal::default();
    blueprint.notices().iter().for_each(|notice| terminal.line(notice));
    let encoder = Encoder::new(blueprint.inputs(), model.input, seed, 0);
    let evaluation = Evaluation::on(engine.as_ref(), data, encoder, model.steps)
        .batches_of(batch as usize)
        .exiting(args.exit.map(|rule| rule.of(model, network)).transpose()?)
        .preparing(adaptation.map(|adaptation| Arc::new(adaptation).preparation()));
    let mut origin = args.chips.origin("infer", &setup, &blueprint, engine.as_ref())?;
    for (key, value) in [
        ("exit", json!(args.exit)),
        ("adapt", json!(sample)),
        ("adapt_data_fingerprint", json!(training.as_ref().map(Dataset::fingerprint).transpose()?)),
    ] {
        origin["configuration"][key] = value;
    }
    let price = Price::of(&blueprint);
    let claim = |folder: &PathBuf| SeriesReport::claim(folder, &origin, args.force);
    let mut page = args.report.as_ref().map(claim).transpose()?;
    let (mut accuracies, mut logits, mut exits) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sram_bytes, mut write_pulses, mut elements) = (0, 0, vec![0; model.layers().len()]);
    let mut counts = Counts::new(model.layers().len() - 1, model.steps);
    let mut exit_counts = counts.clone();
    terminal.begin("chips", chips);
    evaluation.series(&blueprint, indices.clone(), |index, result| {
        accuracies.push(result.accuracy);
        if let Some(page) = &mut page {
            page.push(index, result, model.steps, &price);
        }
        sram_bytes += result.sram_bytes;
        write_pulses += result.write_pulses;
        elements.iter_mut().zip(&result.sram_elements).for_each(|(sum, layer)| *sum += layer);
        counts.add(&result.counts);
        exits.extend(ExitOfChip::new(index, result));
        if let Some(exit) = &result.exit {
            exit_counts.add(&exit.counts);
        }
        if args.logits.is_some() {
            logits.push(result.logits.clone());
        }
        terminal.progress(accuracies.len() as u64, "");
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
    let elements: Vec<usize> = elements.iter().map(|sum: &usize| (sum + chips as usize / 2) / chips as usize).collect();
    let spent = |counts, steps| price.spent(counts, chips as usize * data.len(), steps, &elements);
    let energy = spent(&counts, model.steps as f64);
    let workload = price.workload(&counts, chips as usize * data.len(), model.steps as f64, &elements);
    let notes = energy.as_ref().filter(|energy| energy.total_pj > 0.0).map(|energy| {
        let left_out = match energy.left_out.is_empty() {
            true => String::new(),
            false => format!(" Left out, for the profile has no constant: {}.", energy.left_out.join(", ")),
        };
        let driven =
            format!("{:.1} % of the energy is driven by spikes", 100.0 * energy.spike_driven_pj / energy.total_pj);
        format!("{driven}, the rest is taken whatever comes in. ADC model: {}.{left_out}", energy.adc_model)
    });
    let page = page.map(|page| page.finish(&blueprint, notes.into_iter().collect())).transpose()?;
    let stats = summarise(&accuracies);
    let sram_bytes = sram_bytes as f64 / chips as f64;
    let write_pulses = write_pulses as f64 / chips as f64;
    let programming_pj = setup.profile.cost.energy_pj.write_pulse.map(|pj| pj * write_pulses);
    let early = args.exit.map(|rule| ExitSummary::new(rule, exits));
    let early_energy = early.as_ref().and_then(|early| spent(&exit_counts, early.steps));
    let mut early_exit = json!(early);
    if early.is_some() {
        early_exit["pj_per_image"] = json!(early_energy);
    }
    // The dense formula beside the counted figure is one of SpikeSim's own constants.
    let is_of_spikesim = setup.profile.cost.adc_model.starts_with("SpikeSim");
    let area_mm2 = price.area_mm2();
    let kernels = engine.kernel_times();
    let mut report = json!({
        "accuracy": { "mean": stats.mean, "std": stats.std, "ci95": stats.ci95 },
        "chips": indices.zip(&accuracies).map(|(i, a)| json!({ "chip": i, "accuracy": a })).collect::<Vec<_>>(),
        "images": data.len(),
        "spikes": by_layer(model, &counts.spikes, |layer| layer.leads),
        "events": {
            "input_pulses": counts.input,
            "adc_clipped": by_layer(model, &counts.clipped, |_| true),
            "adder_saturated": by_layer(model, &counts.saturated, |_| true),
        },
        "energy": energy.as_ref().map(|energy| json!({
            "pj_per_image": energy,
            "spikesim_dense": (is_of_spikesim && of_convolutions(model)).then(|| SpikeSim::of(model, 64)),
        })),
        "neurobench": workload,
        "area_mm2": area_mm2,
        "sram_bytes": sram_bytes,
        "write_pulses": write_pulses,
        "programming_pj": programming_pj,
        "early_exit": early_exit,
        "report": page,
        "units": {
            "accuracy": "percent; ci95: half of the 95 % interval of the mean over chips",
            "spikes": "of each spiking layer, before its pool, a number a step, summed over images and chips",
            "events.input_pulses": "pulses, or digits, on the inputs, a number a step, summed over images and chips",
            "events.adc_clipped": "partial sums beyond a converter's range, of each layer, summed over steps, images and chips",
            "events.adder_saturated": "sums beyond an adder's width, of each layer, summed over steps, images and chips",
            "energy.pj_per_image": "picojoule, and nanoseconds where a key ends in _ns, of an image, on average over images and chips",
            "energy.pj_per_image.tops_per_w": "tera-operations a second and watt, were all inputs active; a multiplication and an addition a weight",
            "neurobench": "footprint in bytes, of one copy of each layer; sparsity from 0 to 1; operations and updates of an image, on average over images and chips",
            "area_mm2": "square millimetres of the chip, all copies of its layers; null where the profile has no areas",
            "sram_bytes": "bytes of the companion arrays of a chip, one copy of each layer, on average",
            "write_pulses": "pulses that program a chip, one copy of each layer, on average",
            "programming_pj": "picojoule a chip",
            "early_exit.steps": "steps of an image, on average",
        },
        "origin": origin,
    });
    if args.timings {
        let seconds = |(name, time): &(String, Duration)| (name.clone(), json!(time.as_secs_f64()));
        report["kernel_seconds"] = Value::Object(kernels.iter().map(seconds).collect());
        report["units"]["kernel_seconds"] =
            json!("of the GPU's own clock, of each layer's kernels, all images and chips together");
    }
    let failed = args.logits.as_deref().and_then(|path| write_logits(path, &logits).err());
    let spread = match (stats.std, stats.ci95) {
        (Some(std), Some(ci)) => {
            format!(" ± {ci:.2} (95 %), spread {std:.2}, {:.2} to {:.2}, over {} chips", stats.min, stats.max, chips)
        }
        _ => String::new(),
    };
    let spikes = counts.total_spikes() as f64 / (chips * data.len() as u64) as f64;
    let mut text = vec![format!(
        "accuracy {:.2} %{spread}, {} images, {spikes:.0} spikes an image, {}{}",
        stats.mean,
        data.len(),
        if args.chips.made.is_ideal() { "the ideal chip (float weights), " } else { "" },
        engine.name()
    )];
    if setup.profile.converts() {
        let per_image = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / (chips * data.len() as u64) as f64;
        let (clipped, saturated) = (per_image(&counts.clipped), per_image(&counts.saturated));
        text.push(format!(
            "an image: {clipped:.1} sums beyond the converters' range, {saturated:.1} beyond the adders' width"
        ));
    }
    if let Some((Sample { batches, images, .. }, training)) = sample.zip(training) {
        let data = training.spec();
        text.push(format!(
            "each chip's norms were adapted on {batches} batches of {images} training images of `{data}`"
        ));
    }
    if sram_bytes > 0.0 {
        let share = 100.0 * sram_bytes / blueprint.rram_bytes();
        let what = if setup.profile.has_companions() {
            "companion arrays hold"
        } else {
            "trims and tables of moved lines hold"
        };
        text.push(format!("{what} {sram_bytes:.0} bytes a chip, {share:.0} % of the RRAM's weights"));
    }
    if let Some(energy) = &energy {
        text.push(described(energy));
        if !energy.left_out.is_empty() {
            text.push(format!("left out, for the profile has no constant: {}", energy.left_out.join(", ")));
        }
    } else {
        text.push(
            match setup.profile.cost.any() {
                true => "no energy: no layer stands on RRAM, and what digital logic takes is not known",
                false => {
                    "no energy: the profile has no constants (its section [cost], as in hw_profiles/spikesim_65nm.toml)"
                }
            }
            .into(),
        );
    }
    if let Some(mm2) = area_mm2 {
        text.push(format!("the chip takes {mm2:.3} mm²"));
    }
    if let Some(pj) = programming_pj {
        text.push(format!("programming a chip: {write_pulses:.0} pulses, {:.3} µJ", pj * 1e-6));
    }
    if args.timings && kernels.is_empty() {
        text.push("no kernel ran on the GPU: the CPU did the work".into());
    }
    let width = kernels.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    text.extend(kernels.iter().map(|(name, time)| format!("{name:width$} {:10.3} ms", 1e3 * time.as_secs_f64())));
    text.extend(early.map(|early| early.to_string()));
    text.extend(page.map(|page| format!("wrote {}", page.display())));
    text.extend(early_energy.map(|energy| format!("up to its early answer, {}", described(&energy))));
    Ok(Said::new(text.join("\n"), report).failing(failed))
}

impl Args {
    /// What to adapt on, if chips are to be adapted.
    fn sample(&self) -> Option<Sample> {
        let (images, data) = (self.adapt_batch as usize, self.adapt_data.clone());
        self.adapt.map(|batches| Sample { batches: batches as usize, images, data })
    }
}

/// Whether a model has any: SpikeSim's figure is of them alone.
fn of_convolutions(model: &Model) -> bool {
    model.layers().iter().any(|layer| layer.kind == LayerKind::Conv)
}

/// Energy and latency in words, all energies in the unit that the total asks for.
fn described(energy: &Spent) -> String {
    let (unit, factor) = match energy.total_pj {
        small if small < 1e2 => ("pJ", 1.0),
        middle if middle < 1e5 => ("nJ", 1e-3),
        _ => ("µJ", 1e-6),
    };
    let joule = |pj: f64| format!("{:.3} {unit}", pj * factor);
    let ms = |ns: f64| if ns < 1e5 { format!("{:.3} µs", ns * 1e-3) } else { format!("{:.3} ms", ns * 1e-6) };
    let time = match (energy.latency_ns, energy.interval_ns) {
        (Some(latency), Some(interval)) if interval < latency => {
            format!(", {} through the pipeline and one every {}", ms(latency), ms(interval))
        }
        (latency, _) => latency.map_or(String::new(), |latency| format!(", {} layer after layer", ms(latency))),
    };
    let efficiency = energy
        .images_per_j
        .zip(energy.tops_per_w)
        .map_or(String::new(), |(images, tops)| format!("; {images:.0} images a joule, {tops:.2} TOPS/W dense"));
    format!(
        "an image: {}, {} of it by spikes and {} whatever comes in{time}{efficiency}; ADC model: {}",
        joule(energy.total_pj),
        joule(energy.spike_driven_pj),
        joule(energy.static_pj),
        energy.adc_model
    )
}

/// Gives an error that knows no place the option that it is about; others have their own.
fn of_option(option: &str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Usage(message) | Error::Mismatch(message) => Error::Usage(format!("{option}: {message}")),
        placed => placed,
    }
}

fn by_layer<T: Clone>(model: &Model, counts: &[T], is_meant: impl Fn(&Layer) -> bool) -> BTreeMap<String, T> {
    let layers = model.layers().into_iter().zip(counts).filter(|(layer, _)| is_meant(layer));
    layers.map(|(layer, count)| (layer.name, count.clone())).collect()
}

fn write_logits(path: &Path, chips: &[Array2<f32>]) -> Result<()> {
    let views: Vec<_> = chips.iter().map(|logits| logits.view()).collect();
    let logits: Array3<f32> = stack(Axis(0), &views).map_err(|e| Error::file(path, e.to_string()))?;
    let mut bytes = Vec::new();
    logits.write_npy(&mut bytes).map_err(|e| Error::file(path, e.to_string()))?;
    atomic::write(path, &bytes)
}
