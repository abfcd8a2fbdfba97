//! What wrappers put before the names of a network's tensors: `module.` of data-parallel training, `_orig_mod.` of a
//! compiled one, and the attribute that a script keeps the network in, such as `net.` or `model.`.

use super::{Checkpoint, Tensor, Values};

/// Takes away what all names begin with, up to a dot, as long as it is not the name of a layer; gives it.
pub(super) fn take_off(checkpoint: &mut Checkpoint) -> String {
    let mut taken = String::new();
    while let Some(prefix) = shared(checkpoint) {
        let strip = |name: String| name.strip_prefix(&prefix).map_or(name.clone(), str::to_owned);
        let Checkpoint { tensors, unread, order, numbers, .. } = checkpoint;
        *tensors = std::mem::take(tensors).into_iter().map(|(name, tensor)| (strip(name), tensor)).collect();
        *unread = std::mem::take(unread).into_iter().map(|(name, kind)| (strip(name), kind)).collect();
        order.iter_mut().for_each(|name| *name = strip(std::mem::take(name)));
        *numbers = std::mem::take(numbers).into_iter().map(|(name, value)| (strip(name), value)).collect();
        taken += &prefix;
    }
    taken
}

/// The first part of every tensor's name, with its dot; none where one name has another, or would be left with nothing
/// but what a layer has, such as `weight`.
fn shared(checkpoint: &Checkpoint) -> Option<String> {
    // A counter beside the network, such as `n_averaged`, has no part in it.
    let is_counter = |name: &str, tensor: &Tensor| {
        !name.contains('.') && tensor.shape.iter().product::<usize>() == 1 && !matches!(tensor.values, Values::F32(_))
    };
    let names = || checkpoint.tensors.iter().filter(|(name, tensor)| !is_counter(name, tensor)).map(|(name, _)| name);
    let prefix = names().next()?.split_once('.')?.0;
    let rest = |name: &str| name.split_once('.').filter(|(first, _)| *first == prefix).map(|(_, rest)| rest.to_owned());
    // A tensor at the top of a wrapped network, such as `module.threshold`, goes with its layers; `fc.weight` is a
    // layer's.
    let is_below = |name: &String| rest(name).is_some_and(|rest| rest.contains('.') || !PARTS.contains(&rest.as_str()));
    let has_layers = names().filter_map(|name| rest(name)).any(|rest| rest.contains('.'));
    (has_layers && names().all(is_below) && !is_layer(prefix)).then(|| format!("{prefix}."))
}

/// The prefix that at least three of four names have, and the other names; none where all have it, or where it is a
/// layer.
pub(super) fn of_most(checkpoint: &Checkpoint) -> Option<(String, Vec<&str>)> {
    let first = |name: &str| name.split_once('.').map(|(first, _)| format!("{first}."));
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    checkpoint.tensors.keys().filter_map(|name| first(name)).for_each(|prefix| *counts.entry(prefix).or_default() += 1);
    let (prefix, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    let most = 4 * count >= 3 * checkpoint.tensors.len() && !is_layer(prefix.trim_end_matches('.'));
    let others: Vec<&str> =
        checkpoint.tensors.keys().map(String::as_str).filter(|name| !name.starts_with(&prefix)).collect();
    (most && !others.is_empty()).then_some((prefix, others))
}

/// The end of a tensor's name, behind the name of a layer or a norm.
const PARTS: [&str; 6] = ["weight", "bias", "WR", "mask", "running_mean", "running_var"];

/// Whether a name is one that a layer of the published networks has.
fn is_layer(name: &str) -> bool {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    ["conv", "fc", "bntt", "bntt_fc", "bn", "bn_fc"].contains(&kind)
}
