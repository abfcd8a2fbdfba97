//! Which network a checkpoint looks like, from names and shapes alone; or what it lacks for any model to run it.

use std::collections::BTreeSet;

use super::names::is_published;
use crate::checkpoint::{Checkpoint, Values};

/// The tensors of a norm for all steps; one of every step has no bias.
const BATCH: [&str; 4] = ["weight", "running_mean", "running_var", "bias"];

/// The sentence about the tensors of a checkpoint that no layer of a network has.
pub fn beside_layers(checkpoint: &Checkpoint) -> Option<String> {
    let layers = named_layers(checkpoint);
    let is_of_layer = |name: &str| {
        let layer = name.split('.').next().unwrap_or(name);
        let of_norm = layer.strip_prefix("bn_").or(layer.strip_prefix("bntt_"));
        layers.iter().any(|(known, _)| *known == layer || Some(*known) == of_norm)
    };
    let names = checkpoint.tensors.keys().map(String::as_str);
    let names: Vec<&str> = names.filter(|name| !is_published(name) && !is_of_layer(name)).collect();
    let shown = names.iter().take(12).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| {
        format!(
            "tensors of no layer: {shown}; a model takes them where its own constants are the same, or where \
                 --ignore names them"
        )
    })
}

/// A network in words; where no model can run it, what is missing or in the way.
pub fn looks(checkpoint: &Checkpoint) -> Result<String, String> {
    let names = || checkpoint.tensors.keys();
    if names().all(|name| name.ends_with(".codes") || name.ends_with(".places") || name.ends_with(".mask")) {
        return Err("what companion arrays hold, bit by bit, without the network beside them".into());
    }
    if let Some(graph) = graph(checkpoint) {
        return Ok(graph);
    }
    let (convs, fcs) = (matrices(checkpoint, "conv", 3..=4)?, matrices(checkpoint, "fc", 2..=2)?);
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
    let starts = |start: &str| names().any(|name| name.starts_with(start));
    let norm = if starts("bntt") { "bntt" } else { "bn" };
    let of_fc = |i: usize| if i == 0 { format!("{norm}_fc") } else { format!("{norm}_fc{}", i + 1) };
    let normed = (1..).zip(&convs).map(|(i, shape)| (format!("{norm}{i}"), shape[0]));
    let normed: Vec<(String, usize)> =
        normed.chain(hidden.iter().enumerate().map(|(i, shape)| (of_fc(i), shape[0]))).collect();
    let norms = match () {
        () if starts("bntt") => format!("{} steps", steps(checkpoint, &normed)?),
        () if starts("bn") => {
            normed.iter().try_for_each(|(norm, channels)| whole(checkpoint, norm, *channels, &BATCH))?;
            "batch norms for all steps (norm = \"batch\")".into()
        }
        () => "no norms (norm = \"none\")".into(),
    };
    let list = |widths: &[Vec<usize>]| widths.iter().map(|shape| shape[0].to_string()).collect::<Vec<_>>().join(", ");
    let mut parts = vec![];
    if let Some(first) = convs.first() {
        parts.push(format!("{} input channels, convolutions of {}", first[1], list(&convs)));
    }
    if !hidden.is_empty() {
        parts.push(format!("fully connected layers of {}", list(hidden)));
    }
    let kernels: BTreeSet<String> = convs.iter().map(|shape| format!("{:?}", &shape[2..])).collect();
    if kernels.iter().any(|kernel| kernel != "[3, 3]") {
        parts.push(format!("kernels of {}", kernels.into_iter().collect::<Vec<_>>().join(", ")));
    }
    parts.push(format!("{} classes, {norms}", readout[0]));
    if names().any(|name| name.ends_with(".bias") && !name.starts_with("bn")) {
        parts.push("biases".into());
    }
    if names().any(|name| name.ends_with(".WR")) {
        parts.push("companion arrays beside RRAM".into());
    }
    Ok(parts.join(", "))
}

/// The names of matrices that layers may have, and their dimensions.
fn named_layers(checkpoint: &Checkpoint) -> Vec<(&str, usize)> {
    let layers = checkpoint.tensors.iter().filter_map(|(name, tensor)| {
        let layer = name.strip_suffix(".weight").filter(|layer| !layer.starts_with("bn") && !layer.contains('.'))?;
        let is_matrix = matches!(tensor.shape.len(), 2..=4) && matches!(tensor.values, Values::F32(_));
        is_matrix.then_some((layer, tensor.shape.len()))
    });
    layers.collect()
}

/// A network whose layers have names of their own, or lead back, in words; none of a chain under its published names.
fn graph(checkpoint: &Checkpoint) -> Option<String> {
    let layers = named_layers(checkpoint);
    let is_named = layers.iter().any(|(layer, _)| !is_published(&format!("{layer}.weight")));
    let connected = layers.iter().filter(|(_, dimensions)| *dimensions == 2).count();
    if !is_named || connected == 0 {
        return None;
    }
    let names = layers.iter().take(12).map(|(layer, _)| format!("`{layer}`")).collect::<Vec<_>>().join(", ");
    let more = layers.len().saturating_sub(12);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!(
        "{} matrices under names of a model's own, {} convolutions and {connected} fully connected: {names}{more}",
        layers.len(),
        layers.len() - connected
    ))
}

/// The shapes of `NAME1.weight`, `NAME2.weight` and so on.
fn matrices(
    checkpoint: &Checkpoint,
    name: &str,
    dimensions: std::ops::RangeInclusive<usize>,
) -> Result<Vec<Vec<usize>>, String> {
    let mut shapes = Vec::new();
    for number in 1.. {
        let weight = format!("{name}{number}.weight");
        if let Some(kind) = checkpoint.unread.get(&weight) {
            return Err(format!("`{weight}` is {kind}, which is not read"));
        }
        let Some(tensor) = checkpoint.tensors.get(&weight) else { break };
        let shape = &tensor.shape;
        let fits = dimensions.contains(&shape.len()) && !shape.contains(&0);
        if !fits || !matches!(tensor.values, Values::F32(_)) {
            let expected =
                if name == "conv" { "[columns, channels, rows, columns of the kernel]" } else { "[columns, inputs]" };
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
    // A convolution in groups takes a share of the channels.
    let meets =
        |given: usize, taken: usize| given == taken || name == "conv" && taken > 0 && given.is_multiple_of(taken);
    let break_at = (1..).zip(shapes.windows(2)).find(|(_, pair)| !meets(pair[0][0], pair[1][1]));
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
        (0..found).try_for_each(|t| whole(checkpoint, &format!("{norm}.{t}"), *channels, &BATCH[..3]))?;
    }
    Ok(steps.unwrap_or_default())
}

/// An error where a norm lacks one of these tensors, or has it of another shape.
fn whole(checkpoint: &Checkpoint, norm: &str, channels: usize, tensors: &[&str]) -> Result<(), String> {
    tensors.iter().try_for_each(|what| {
        let name = format!("{norm}.{what}");
        match checkpoint.tensors.get(&name) {
            Some(tensor) if tensor.shape == [channels] => Ok(()),
            Some(tensor) => Err(format!("`{name}` of shape {:?}; expected [{channels}]", tensor.shape)),
            None => Err(format!("no `{name}`")),
        }
    })
}
