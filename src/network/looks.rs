//! Which network a checkpoint looks like, from names and shapes alone; or what it lacks for any model to run it.

use std::collections::BTreeSet;

use super::names::is_published;
use crate::checkpoint::{Checkpoint, Values};

/// Kernel width of every convolution.
const KERNEL: usize = 3;

/// The sentence about the tensors of a checkpoint that no layer of a network has.
pub fn beside_layers(checkpoint: &Checkpoint) -> Option<String> {
    let names: Vec<&str> = checkpoint.tensors.keys().map(String::as_str).filter(|name| !is_published(name)).collect();
    let shown = names.iter().take(12).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| {
        format!("tensors of no layer: {shown}; a model takes them where its own constants are the same, or where --ignore names them")
    })
}

/// A network in words; where no model can run it, what is missing or in the way.
pub fn looks(checkpoint: &Checkpoint) -> Result<String, String> {
    let names = || checkpoint.tensors.keys();
    if names().all(|name| name.ends_with(".codes") || name.ends_with(".places") || name.ends_with(".mask")) {
        return Err("what companion arrays hold, bit by bit, without the network beside them".into());
    }
    let (convs, fcs) = (matrices(checkpoint, "conv", 4)?, matrices(checkpoint, "fc", 2)?);
    let Some((readout, hidden)) = fcs.split_last() else {
        return Err(format!(
            "no `fc1.weight`, the readout or a layer before it; it has for example {}",
            names().take(6).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ));
    };
    if convs.is_empty() && hidden.is_empty() {
        return Err("nothing but a readout; expected layers of spiking neurons before it".into());
    }
    chained(&convs, "conv")?;
    chained(&fcs, "fc")?;
    if let (Some(last), Some(first)) = (convs.last(), fcs.first())
        && first[1] % last[0] != 0
    {
        return Err(format!(
            "`fc1.weight` takes {} inputs, no multiple of the {} channels of the last convolution",
            first[1], last[0]
        ));
    }
    let norm = |i: usize| if i == 0 { "bntt_fc".to_owned() } else { format!("bntt_fc{}", i + 1) };
    let normed = (1..).zip(&convs).map(|(i, shape)| (format!("bntt{i}"), shape[0]));
    let normed: Vec<(String, usize)> =
        normed.chain(hidden.iter().enumerate().map(|(i, shape)| (norm(i), shape[0]))).collect();
    let steps = steps(checkpoint, &normed)?;
    let list = |widths: &[Vec<usize>]| widths.iter().map(|shape| shape[0].to_string()).collect::<Vec<_>>().join(", ");
    let mut parts = vec![];
    if let Some(first) = convs.first() {
        parts.push(format!("{} input channels, convolutions of {}", first[1], list(&convs)));
    }
    if !hidden.is_empty() {
        parts.push(format!("fully connected layers of {}", list(hidden)));
    }
    parts.push(format!("{} classes, {steps} steps", readout[0]));
    if names().any(|name| name.ends_with(".WR")) {
        parts.push("companion arrays beside RRAM".into());
    }
    Ok(parts.join(", "))
}

/// The shapes of `NAME1.weight`, `NAME2.weight` and so on.
fn matrices(checkpoint: &Checkpoint, name: &str, dimensions: usize) -> Result<Vec<Vec<usize>>, String> {
    let mut shapes = Vec::new();
    for number in 1.. {
        let weight = format!("{name}{number}.weight");
        if let Some(kind) = checkpoint.unread.get(&weight) {
            return Err(format!("`{weight}` is {kind}, which is not read"));
        }
        let Some(tensor) = checkpoint.tensors.get(&weight) else { break };
        let shape = &tensor.shape;
        let fits = shape.len() == dimensions && !shape.contains(&0) && shape[2..].iter().all(|width| *width == KERNEL);
        if !fits || !matches!(tensor.values, Values::F32(_)) {
            let expected = if dimensions == 4 { "[columns, channels, 3, 3]" } else { "[columns, inputs]" };
            return Err(format!("`{weight}` of shape {shape:?}; expected real numbers, {expected}"));
        }
        shapes.push(shape.clone());
    }
    let known = |other: &str| (1..=shapes.len()).any(|number| other == format!("{name}{number}"));
    let further = checkpoint.tensors.keys().filter_map(|other| other.split_once('.').map(|(layer, _)| layer));
    let numbered = |layer: &&str| layer.strip_prefix(name).is_some_and(|digits| digits.parse::<usize>().is_ok());
    match further.filter(numbered).find(|layer| !known(layer)) {
        Some(layer) => Err(format!(
            "`{layer}` without `{name}{}.weight`: layers are counted from 1 without a gap",
            shapes.len() + 1
        )),
        None => Ok(shapes),
    }
}

/// An error where a layer takes other channels than the one before gives.
fn chained(shapes: &[Vec<usize>], name: &str) -> Result<(), String> {
    let break_at = (1..).zip(shapes.windows(2)).find(|(_, pair)| pair[0][0] != pair[1][1]);
    break_at.map_or(Ok(()), |(number, pair)| {
        Err(format!(
            "`{name}{}.weight` takes {} inputs, and `{name}{number}` gives {}",
            number + 1,
            pair[1][1],
            pair[0][0]
        ))
    })
}

/// The steps of the norms, the same for all.
fn steps(checkpoint: &Checkpoint, normed: &[(String, usize)]) -> Result<usize, String> {
    let of = |norm: &str| -> BTreeSet<usize> {
        let below = checkpoint
            .tensors
            .keys()
            .filter_map(|name| name.strip_prefix(norm)?.strip_prefix('.')?.split('.').next()?.parse().ok());
        below.collect()
    };
    let mut steps = None;
    for (norm, channels) in normed {
        let found = of(norm).len();
        if found == 0 {
            return Err(format!("no `{norm}.0.weight` and so on: a norm a step behind every layer but the last"));
        }
        if *steps.get_or_insert(found) != found {
            return Err(format!("`{norm}` has {found} steps, others {}", steps.unwrap_or_default()));
        }
        for (t, what) in (0..found).flat_map(|t| ["weight", "running_mean", "running_var"].map(|what| (t, what))) {
            let name = format!("{norm}.{t}.{what}");
            match checkpoint.tensors.get(&name) {
                Some(tensor) if tensor.shape == [*channels] => {}
                Some(tensor) => return Err(format!("`{name}` of shape {:?}; expected [{channels}]", tensor.shape)),
                None => return Err(format!("no `{name}`")),
            }
        }
    }
    Ok(steps.unwrap_or_default())
}
