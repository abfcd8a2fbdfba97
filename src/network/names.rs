//! The published names of a network's tensors, and what becomes of the others: each is used, or known to be without
//! effect, or an error names it.
//!
//! | name | what |
//! |---|---|
//! | `conv1.weight`, `fc1.weight` | latent weights, `[columns, channels, rows, columns of the window]` and `[columns, inputs]`; of a hybrid, its companion array's |
//! | `conv1.WR`, `conv1.mask` | of a hybrid: the RRAM's latent weights, and which elements the array has |
//! | `bntt1.0.weight`, `.running_mean`, `.running_var` | the norm of `conv1` at step 0; of `fc1`, `bntt_fc.0.…`, of `fc2`, `bntt_fc2.0.…` |
//! | `bntt1.0.num_batches_tracked` | how often it was estimated |
//! | `bn1.weight`, `.bias`, `.running_mean`, `.running_var` | one norm for all steps, where the model has those |
//! | `conv1.bias` | what is added to the sums, where the model has a bias there |
//! | `conv1.leak`, `.threshold`, `.synaptic_leak`, `.adaptation`, `.adaptation_leak` | constants of its neurons, where the model has them `given` or `learned` |
//!
//! Without effect are: a neuron's constants where they are the model's (snnTorch's `lif1.beta` and `lif1.threshold`,
//! `leak_mem`); biases and membrane potentials of zeros; what a training's state has beside the network; and whole
//! numbers that belong to no layer.

use std::collections::BTreeSet;

use super::layer::{Layer, LayerKind, NormKind, is_number, norm_of};
use super::model::Model;
use super::neuron::{MembraneReset, Neuron, ResetAt};
use crate::checkpoint::{Checkpoint, Values};
use crate::error::{Error, Result};

/// The name of a layer's norms: `bntt3` for `conv3`, `bntt_fc` for `fc1`, `bntt_fc2` for a second one, as published,
/// and `bntt_NAME` for a layer of another name; `bn3` and so on where one is for all steps.
pub fn norm_name(layer: &Layer) -> String {
    norm_of(if layer.norm == NormKind::Batch { "bn" } else { "bntt" }, &layer.name)
}

/// The prefix that the names of a layer's norm at a step have.
pub fn norm_prefix(layer: &Layer, step: usize) -> String {
    let name = norm_name(layer);
    if layer.norm == NormKind::Batch { name } else { format!("{name}.{step}") }
}

/// What is behind the name of a layer.
const OF_LAYER: [&str; 4] = ["weight", "WR", "mask", "bias"];
/// What is behind the name of a norm and its step.
const OF_NORM: [&str; 4] = ["weight", "running_mean", "running_var", "num_batches_tracked"];
/// The ending that a norm for all steps has beside those.
const SHIFT: &str = "bias";
/// Names of the leak: the share of the membrane potential that is kept.
const LEAKS: [&str; 5] = ["beta", "leak", "leak_mem", "decay", "leaky"];
/// Names of the synaptic current's leak.
const SYNAPTIC: [&str; 1] = ["alpha"];
/// Names of the threshold.
const THRESHOLDS: [&str; 5] = ["threshold", "thresh", "v_threshold", "v_th", "vth"];
/// Names of snnTorch's factor of a spike; and names of potentials and currents before the first step. All
/// have one value that is this simulator's own.
const OTHERS: [(&str, f64); 4] = [("graded_spikes_factor", 1.0), ("mem", 0.0), ("syn", 0.0), ("bias", 0.0)];
/// snnTorch's name of how a neuron is reset: 0 subtracts, 1 is to zero, 2 none.
const RESET: &str = "reset_mechanism_val";

/// Words in the names of what networks compute with.
const MEANINGFUL: [&str; 22] = [
    "mask",
    "scale",
    "shift",
    "delay",
    "mean",
    "var",
    "std",
    "zero",
    "zp",
    "weight",
    "bias",
    "thresh",
    "threshold",
    "leak",
    "decay",
    "gain",
    "tau",
    "alpha",
    "reset",
    "exponent",
    "levels",
    "perm",
];
/// Words in the names of what a training script keeps account of.
const ACCOUNTS: [&str; 9] = ["count", "num", "steps", "step", "epoch", "epochs", "acc", "best", "lr"];

/// What a tensor is to a model.
enum Meaning {
    Used,
    /// Without effect; what to say of it, if anything.
    Idle(Option<String>),
    /// It would have an effect, or may have: what it is.
    Unknown(String),
}

/// The tensors that would make another network than the model's, or may, and what is known of them.
pub(super) fn unknown(model: &Model, checkpoint: &Checkpoint) -> Vec<(String, String)> {
    let unknown = meanings(model, checkpoint).filter_map(|(name, meaning)| match meaning {
        Meaning::Unknown(what) => Some((name.to_owned(), what)),
        _ => None,
    });
    unknown.collect()
}

/// An error where a checkpoint's tensors would make another network than the model's.
pub(super) fn check(model: &Model, checkpoint: &Checkpoint) -> Result<()> {
    let unknown: Vec<String> =
        unknown(model, checkpoint).into_iter().map(|(name, what)| format!("`{name}`{what}")).collect();
    check_norms(model, checkpoint)?;
    if unknown.is_empty() {
        return Ok(());
    }
    let more = unknown.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Error::Mismatch(format!(
        "the checkpoint holds {}{more}, which the model `{}` has no place for; expected convolutions and fully \
         connected layers, as many as the model has, their norms and biases where it has them, and nothing else that \
         a network does. --ignore NAME (of infer, attack and import) leaves out what you know to be without effect",
        unknown[..unknown.len().min(SHOWN)].join(", "),
        model.name,
    )))
}

/// Names of an error, at most.
const SHOWN: usize = 12;

/// What to say of tensors that a model does without.
pub(super) fn left_out(model: &Model, checkpoint: &Checkpoint) -> Vec<String> {
    let idle = meanings(model, checkpoint).filter_map(|(_, meaning)| match meaning {
        Meaning::Idle(said) => said,
        _ => None,
    });
    idle.collect()
}

/// Every name of a checkpoint and what stands there.
fn meanings<'a>(model: &'a Model, checkpoint: &'a Checkpoint) -> impl Iterator<Item = (&'a str, Meaning)> {
    let layers = model.layers();
    let tensors = checkpoint.tensors.iter().map(move |(name, tensor)| {
        let meaning = if is_used(&layers, name, checkpoint) {
            Meaning::Used
        } else {
            of_tensor(model, &layers, name, &tensor.values, checkpoint)
        };
        (name.as_str(), meaning)
    });
    let layers = model.layers();
    let unread = checkpoint.unread.iter().map(move |(name, kind)| {
        let meaning = match () {
            // An error says so where it is asked for.
            () if is_used(&layers, name, checkpoint) => Meaning::Used,
            () if belongs(name) || kind.contains("tensor") && has_meaning(name) => {
                Meaning::Unknown(format!(" ({kind})"))
            }
            () if kind.contains("tensor") => {
                Meaning::Idle(Some(format!("`{name}`, {kind}, belongs to no layer and is left out")))
            }
            () => Meaning::Idle(None),
        };
        (name.as_str(), meaning)
    });
    // Plain numbers are of all kinds: an epoch, an accuracy. Those of a neuron count.
    let numbers = checkpoint.numbers.iter().filter_map(|(name, value)| {
        let meaning = constant(model, name, std::iter::once(*value))?;
        Some((name.as_str(), meaning))
    });
    tensors.chain(unread).chain(numbers)
}

/// Whether a name is one that a tensor of some published network has.
pub(super) fn is_published(name: &str) -> bool {
    let numbered = |layer: &str, kind: &str| layer.strip_prefix(kind).is_some_and(is_number);
    match name.split('.').collect::<Vec<_>>()[..] {
        [layer, what] if numbered(layer, "conv") || numbered(layer, "fc") => OF_LAYER.contains(&what),
        [norm, what] => {
            let is_norm = norm == "bn_fc" || numbered(norm, "bn") || numbered(norm, "bn_fc");
            is_norm && (OF_NORM.contains(&what) || what == SHIFT)
        }
        [norm, step, what] => {
            let is_norm = norm == "bntt_fc" || numbered(norm, "bntt") || numbered(norm, "bntt_fc");
            is_norm && is_number(step) && OF_NORM.contains(&what)
        }
        _ => false,
    }
}

/// Whether a tensor is read where it is there: a mask only beside a companion array.
pub(super) fn is_used(layers: &[Layer], name: &str, checkpoint: &Checkpoint) -> bool {
    layers.iter().any(|layer| {
        let has_array = || checkpoint.tensors.contains_key(&format!("{}.WR", layer.name));
        let of_norm = name.strip_prefix(&norm_name(layer)).and_then(|rest| rest.strip_prefix('.'));
        let of_layer = name.strip_prefix(&layer.name).and_then(|rest| rest.strip_prefix('.'));
        let is_norm = of_norm.is_some_and(|rest| match (layer.norm, rest.split_once('.')) {
            (NormKind::Bntt, Some((step, what))) => is_number(step) && OF_NORM.contains(&what),
            (NormKind::Batch, None) => OF_NORM.contains(&rest) || rest == SHIFT,
            _ => false,
        });
        is_norm
            || of_layer.is_some_and(|what| match what {
                "mask" => has_array(),
                "bias" => layer.has_bias,
                _ => OF_LAYER.contains(&what) || layer.constants().any(|(constant, ..)| constant.name() == what),
            })
    })
}

/// Whether a name is that of a part of a published network, also one that the model does not have.
fn belongs(name: &str) -> bool {
    ["conv", "fc", "bn"].iter().any(|prefix| name.starts_with(prefix))
}

fn of_tensor(model: &Model, layers: &[Layer], name: &str, values: &Values, checkpoint: &Checkpoint) -> Meaning {
    let reals: Box<dyn Iterator<Item = f64>> = match values {
        Values::F32(values) => Box::new(values.iter().map(|value| f64::from(*value))),
        Values::I64(values) => Box::new(values.iter().map(|value| *value as f64)),
        Values::U8(values) => Box::new(values.iter().map(|value| f64::from(*value))),
    };
    let is_state = ["velocity.", "square.", "loss."].iter().any(|prefix| name.starts_with(prefix))
        && checkpoint.metadata.get("step").is_some();
    match constant(model, name, reals) {
        _ if is_state => Meaning::Idle(None),
        Some(meaning) => meaning,
        None if !matches!(values, Values::F32(_)) && !belongs(name) && !has_meaning(name) => {
            Meaning::Idle(Some(format!("`{name}` holds whole numbers, belongs to no layer, and is left out")))
        }
        None => {
            let of_layer = layers.iter().any(|layer| name.starts_with(&format!("{}.", layer.name)));
            Meaning::Unknown(if of_layer || belongs(name) { String::new() } else { " (no layer's)".into() })
        }
    }
}

/// Whether whole numbers of this name may be what a network computes with, such as a pruning's mask or a quantiser's
/// shift.
fn has_meaning(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    let has =
        |list: &[&str]| last.split('_').any(|word| list.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit())));
    has(&MEANINGFUL) && !has(&ACCOUNTS)
}

/// What a neuron's constant, or a bias, is to a model; none of another name.
fn constant(model: &Model, name: &str, mut values: impl Iterator<Item = f64>) -> Option<Meaning> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let of = |words: &[&str]| words.iter().any(|word| last.eq_ignore_ascii_case(word));
    let layers = model.layers();
    // A name that begins with a layer's is of its neurons alone.
    let is_of = |layer: &Layer| name.strip_suffix(last) == Some(&format!("{}.", layer.name));
    let own = layers.iter().find(|layer| is_of(layer) && (layer.leads || layer.kind == LayerKind::Readout));
    let neurons =
        || layers.iter().filter(|layer| own.map_or(layer.leads, |own| own.name == layer.name)).map(|l| l.neuron);
    // The value that all layers have; where they differ, a name does not say which is meant.
    let common = |key: &str, of: &dyn Fn(&Neuron) -> f64| {
        let first = neurons().next().as_ref().map_or(0.0, of);
        match neurons().all(|neuron| of(&neuron) == first) {
            true if own.is_some() => (
                first,
                format!(
                    "the layer's neuron.{key} is {}; a model takes the tensor with neuron = {{ given = {{ {key} = \
                     \"layer\", \"channel\" or \"neuron\" }} }}",
                    first as f32
                ),
            ),
            true => (first, format!("the model's neuron.{key} is {}, for every layer", first as f32)),
            false => (f64::NAN, format!("the model's layers differ in neuron.{key}")),
        }
    };
    let (expected, what) = match () {
        () if of(&LEAKS) => common("leak", &|neuron| f64::from(neuron.leak)),
        () if of(&SYNAPTIC) && neurons().any(|neuron| neuron.synaptic_leak > 0.0) => {
            common("synaptic_leak", &|neuron| f64::from(neuron.synaptic_leak))
        }
        () if of(&THRESHOLDS) => common("threshold", &|neuron| f64::from(neuron.threshold)),
        () if last == RESET => {
            let (expected, _) = common("reset", &|neuron| match neuron.reset {
                MembraneReset::Subtract => 0.0,
                MembraneReset::To(0.0) => 1.0,
                MembraneReset::None => 2.0,
                MembraneReset::To(_) => f64::NAN,
            });
            (
                expected,
                format!("expected {expected}, neuron.reset of the model; 0 subtracts, 1 sets to zero, 2 does nothing"),
            )
        }
        () => {
            let (_, expected) = OTHERS.iter().find(|(word, _)| *word == last)?;
            let because = if last == "bias" { ", for the model has no bias there" } else { "" };
            (*expected, format!("expected {expected}{because}"))
        }
    };
    let near = |value: f64| (value - expected).abs() <= 1e-6 * expected.abs().max(1.0);
    let at_spike = || {
        neurons().any(|neuron| {
            neuron.reset == MembraneReset::Subtract && neuron.reset_at == ResetAt::Spike && neuron.leak != 1.0
        })
    };
    Some(match values.find(|value| !near(*value)) {
        None if last == RESET && at_spike() => Meaning::Idle(Some(format!(
            "`{name}` is snnTorch's, whose neurons are reset in the next step, and the model's at the spike: \
             neuron.reset_at = \"next\" does as they do"
        ))),
        None => Meaning::Idle(None),
        Some(value) => Meaning::Unknown(format!(" ({}; {what})", value as f32)),
    })
}

/// An error where a checkpoint has no norms through time at all.
fn check_norms(model: &Model, checkpoint: &Checkpoint) -> Result<()> {
    if model.layers().iter().all(|layer| layer.norm != NormKind::Bntt) {
        return Ok(());
    }
    let names = || checkpoint.tensors.keys();
    let has_weights = names().any(|name| name.starts_with("conv") || name.starts_with("fc"));
    if !has_weights || names().any(|name| name.starts_with("bntt")) {
        return Ok(());
    }
    let plain: BTreeSet<&str> = names().filter_map(|name| name.strip_suffix(".running_mean")).collect();
    let instead = if plain.is_empty() {
        "nor any other".to_owned()
    } else {
        format!("but plain ones, `{}`", plain.into_iter().collect::<Vec<_>>().join("`, `"))
    };
    Err(Error::Mismatch(format!(
        "the network has no batch norms through time (`bntt1.0.weight` and so on), {instead}; expected one norm a \
         step behind every layer but the last, as the model has them: `norm` of a model file may also be \"batch\", \
         one for all steps, or \"none\""
    )))
}
