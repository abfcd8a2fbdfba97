//! What wrappers put before the names of a network's tensors: `module.` of data-parallel training, `_orig_mod.` of a compiled
//! one, and the attribute that a script keeps the network in, such as `net.` or `model.`.

use super::Checkpoint;

/// Takes away what all names begin with, up to a dot, as long as it is not the name of a layer; gives it.
pub(super) fn take_off(checkpoint: &mut Checkpoint) -> String {
    let mut taken = String::new();
    while let Some(prefix) = shared(checkpoint) {
        let strip = |name: String| name.strip_prefix(&prefix).map_or(name.clone(), str::to_owned);
        let Checkpoint { tensors, unread, numbers, .. } = checkpoint;
        *tensors = std::mem::take(tensors).into_iter().map(|(name, tensor)| (strip(name), tensor)).collect();
        *unread = std::mem::take(unread).into_iter().map(|(name, kind)| (strip(name), kind)).collect();
        *numbers = std::mem::take(numbers).into_iter().map(|(name, value)| (strip(name), value)).collect();
        taken += &prefix;
    }
    taken
}

/// The first part of every tensor's name, with its dot; none where one name has another, or would be left with nothing but what a
/// layer has, such as `weight`.
fn shared(checkpoint: &Checkpoint) -> Option<String> {
    let names = || checkpoint.tensors.keys();
    let prefix = names().next()?.split_once('.')?.0;
    let is_below =
        |name: &String| name.split_once('.').is_some_and(|(first, rest)| first == prefix && rest.contains('.'));
    (names().all(is_below) && !is_layer(prefix)).then(|| format!("{prefix}."))
}

/// Whether a name is one that a layer of the published networks has.
fn is_layer(name: &str) -> bool {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    ["conv", "fc", "bntt", "bntt_fc"].contains(&kind)
}
