//! `crosspike import`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use super::terminal::note;
use crate::announced;
use crate::checkpoint::Checkpoint;
use crate::config::Overrides;
use crate::error::{Error, Result};
use crate::network::looks::{beside_layers, looks};
use crate::nir::file;
use crate::output::check_free;

/// Convert a PyTorch checkpoint to safetensors, a state dict of another tool to a model's checkpoint, or a NIR file to
/// a model and its checkpoint; nothing in a file is executed.
#[derive(clap::Args)]
#[command(after_help = "\
A NIR file (HDF5) becomes a folder with model.toml and checkpoint.safetensors. It is in continuous time: --dt
says how long a step is, 1 for networks whose neurons count in steps (IF of sinabs). Where the file does not say
how neurons are reset, NIR's own way holds, to v_reset or 0, at the spike; --reset, --reset-at and --fires say
otherwise, as the tool that wrote the file does. Every node is used, or named in an error. --verify runs the
network on recorded inputs and compares spikes and logits.

A PyTorch file may have its weights under a key (state_dict, model_state_dict, model, net, or one that --key
names), and names with what a wrapper puts before them (module., _orig_mod., net.), which is taken off. Objects
beside the weights, whatever their class, are passed over. Networks that no model can run are refused; a tensor
that is of no layer is said, and written all the same.

With --as, the tensors of a state dict find their places in a model: by the table of --map, by crosspike's own
names, or by their order, matrix by matrix of a shape, norm by norm and neuron by neuron. What finds none, and
what does not fit, is listed at once.

Examples:
  crosspike import trained.pth.tar trained.safetensors
  crosspike import state_dict.pth net --as vgg9 --set model.norm=batch --set model.neuron.leak=0.5 --verify recorded.npz
  crosspike import net.nir net --dt 1e-4 --reset subtract --reset-at next --verify recorded.npz
  crosspike import run.pt trained.safetensors --key ema.state_dict --ignore lif1.beta")]
pub struct Args {
    /// The checkpoint: .pth, .pt, .pth.tar or .safetensors; or a NIR file.
    input: PathBuf,
    /// The safetensors file to write; of a NIR file the folder.
    output: PathBuf,
    /// The weights of a PyTorch checkpoint that has several: the dotted key of their dictionary.
    #[arg(long)]
    key: Option<String>,
    /// Leave a tensor out; several times for several.
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    /// Recorded inputs (`frames`) and what the network made of them (`logits`, `spikes.NAME`), as a NumPy archive: run
    /// them, compare, and fail where they differ. Of NIR files, and with --as.
    #[arg(long, value_name = "FILE.npz")]
    verify: Option<PathBuf>,
    /// Override a key of the model, with --as (model.norm=batch, model.neuron.leak=0.9).
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "model")]
    set: Vec<String>,
    #[command(flatten)]
    placed: super::import_as::Args,
    #[command(flatten)]
    nir: super::import_nir::Args,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    std::fs::metadata(&args.input).map_err(Error::io(&args.input))?;
    if file::is_hdf5(&args.input) {
        if args.key.is_some() || !args.ignore.is_empty() {
            return Err(Error::Usage("--key and --ignore are of checkpoints, and this is a NIR file".into()));
        }
        if args.placed.model.is_some() {
            return Err(Error::Usage("--as, --map and --set are of state dicts, and this is a NIR file".into()));
        }
        return args.nir.run(&args.input, &args.output, args.force, args.verify.as_deref());
    }
    args.nir.refuse()?;
    if let Some(name) = &args.placed.model {
        let set = Overrides::of_model(&args.set)?;
        let checkpoint = Checkpoint::read_at(&args.input, args.key.as_deref())?.without(&args.ignore)?;
        let (output, verify) = ((&*args.output, args.force), args.verify.as_deref());
        return args.placed.run((&args.input, name), &set, checkpoint, output, verify);
    }
    if args.verify.is_some() {
        return Err(Error::Usage("--verify runs a network: expected --as MODEL beside it, or a NIR file".into()));
    }
    check_free(&args.output, args.force)?;
    let checkpoint = Checkpoint::read_at(&args.input, args.key.as_deref())?.without(&args.ignore)?;
    // Announced after it is read: a file may be converted where it is.
    announced::announce("OUTPUT", &args.output)?;
    let refuse = |missing| Error::file(&args.input, format!("tensors that no model can run: {missing}"));
    let looks = looks(&checkpoint).map_err(refuse)?;
    checkpoint.notices.iter().for_each(|notice| note(notice));
    beside_layers(&checkpoint).iter().for_each(|notice| note(notice));
    let left = checkpoint.unread.iter().map(|(name, kind)| format!("`{name}`, {kind}, is left out"));
    left.for_each(|notice| note(&notice));
    checkpoint.write(&args.output)?;
    let (tensors, to) = (checkpoint.tensors.len(), &args.output);
    let text = format!("wrote {tensors} tensors to {}: {looks}", to.display());
    Ok(Said::new(text, json!({ "wrote": to, "tensors": tensors, "looks": looks, "sha256": checkpoint.hash() })))
}
