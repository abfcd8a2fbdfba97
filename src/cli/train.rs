//! `crosspike train`.

use std::path::PathBuf;

use indicatif::HumanDuration;
use serde_json::{Value, json};

use super::said::Said;
use super::terminal::{Terminal, note};
use crate::config::{Document, Overrides};
use crate::crossbar::image::IMAGE;
use crate::error::Result;
use crate::report;
use crate::train::CHECKPOINT;
use crate::train::job::{Job, OWN_KEYS, Trained};
use crate::train::outlook::Outlook;

/// Train a network as a TOML file says; resumes an unfinished run of the same configuration.
#[derive(clap::Args)]
#[command(after_help = "\
Writes OUT/model.toml (the model with what --set changed), OUT/checkpoint.safetensors (last epoch),
OUT/best.safetensors (best validation accuracy, where train.validation > 0), OUT/log.csv and OUT/timing.csv,
OUT/report.html with the learning curves; stage `sram` also OUT/sram.safetensors, what the companion arrays
hold, to the bit. Ctrl-C stores the state; so does every minute.

Stages, each from the checkpoint of another:
  crosspike train recipe.toml --out runs/baseline
  crosspike train recipe.toml --out runs/vat --set train.variation=true --set rram.variation.scale=1.5
  crosspike train recipe.toml --out runs/sram --set train.stage=sram --set init=runs/vat/checkpoint.safetensors --set \
  sram.bits=4 --set train.variation=true
  crosspike train recipe.toml --out runs/pruned --set train.stage=sram --set init=runs/vat/checkpoint.safetensors \
  --set sram.bits=4 --set train.variation=true --set prune.threshold=0.05

In stage `sram` the RRAM's weights are frozen; its variation is drawn afresh every pass (train.variation=true),
or is that of one chip (train.chip=3), or absent. train.shifts=[-1,0,1] trains one array for several shifts, in
turn.")]
pub struct Args {
    /// The training file.
    config: PathBuf,
    /// Override a key: the file's own (train.epochs=2), the profile's (rram.weight_bits=2) or the model's
    /// (model.steps=8); KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for results.
    #[arg(long, default_value = "runs/train")]
    out: PathBuf,
    /// Print what would run and an estimate of its time, from a few steps; write nothing.
    #[arg(long, conflicts_with = "force")]
    dry_run: bool,
    /// Overwrite a finished or different run.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let overrides = Overrides::sort(&args.set, &OWN_KEYS)?;
    let mut document = Document::read(&args.config)?;
    for assignment in &overrides.own {
        document.set(assignment)?;
    }
    let job = Job::read(&document, &overrides)?;
    if args.dry_run {
        job.notices().iter().for_each(|notice| note(notice));
        return Ok(said_of(&job.outlook(&args.out)?));
    }
    let (folder, trained) = job.run_into(&args.out, args.force, &Terminal::default())?;
    let page = report::write(folder.path())?;
    let (mut text, mut json) = companion(&trained);
    if let Some(test) = trained.test {
        text.push(format!("test accuracy {:.2} % on the nominal chip, {} images", test.accuracy, test.images));
        json["test"] = json!(test);
    }
    let checkpoint = folder.file(CHECKPOINT);
    text.push(format!("wrote {} and {}", checkpoint.display(), page.display()));
    json["wrote"] = json!(checkpoint);
    Ok(Said::new(text.join("\n"), json))
}

/// What the companion arrays hold in the end.
fn companion(trained: &Trained) -> (Vec<String>, Value) {
    let Some(image) = &trained.image else { return (vec![], json!({})) };
    let mut text = vec![];
    if let Some(left) = trained.sparsity {
        let (percent, gone) = (left.percent(), left.groups - left.kept_groups);
        text.push(format!(
            "pruned {percent:.1} % of the companion arrays' elements and {gone} of {} groups",
            left.groups
        ));
    }
    let (bytes, dense) = (image.bytes(), image.dense_bytes);
    text.push(format!("companion arrays: {bytes} bytes, {dense} unpruned; {IMAGE} holds them"));
    (text, json!({ "sram": { "bytes": bytes, "unpruned_bytes": dense, "pruned": trained.sparsity } }))
}

/// The outlook of a training in words.
fn said_of(outlook: &Outlook) -> Said {
    let Outlook { epochs, images, there, each } = *outlook;
    let (missing, rate) = (images - there, 1.0 / each.as_secs_f64().max(1e-9));
    let what = match missing {
        0 => "nothing to run".to_owned(),
        _ => format!(
            "{missing} to run at {rate:.0} a second: about {}, validation and test apart",
            HumanDuration(outlook.time())
        ),
    };
    let text = format!("{epochs} epochs, {images} images in all, {there} of them there; {what}");
    let json = json!({
        "epochs": epochs, "images": images, "there": there, "seconds_each": each.as_secs_f64(),
        "seconds": outlook.time().as_secs_f64(),
    });
    Said::new(text, json)
}
