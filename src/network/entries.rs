//! The names of a model file's entries: each stands for one entry, its matrix's tensors, and its norm's.

use std::collections::{BTreeMap, BTreeSet};

use super::item::Item;
use super::layer::norm_of;

/// The name of the network's input.
pub(super) const INPUT: &str = "input";
/// Beginnings of names that tensors beside those of layers have.
const RESERVED: [&str; 4] = ["bn", "velocity", "square", "loss"];

/// The names of all entries: their own, or counted by kind. An error has the entry's number.
pub(super) fn names(items: &[Item]) -> Result<Vec<String>, (usize, String)> {
    let mut counts = BTreeMap::new();
    let mut names: Vec<String> = vec![];
    let mut taken: BTreeSet<String> = [INPUT.to_owned()].into();
    let mut norms = BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        let kind = match () {
            () if item.conv.is_some() || item.conv1d.is_some() => "conv",
            () if item.fc.is_some() => "fc",
            () if item.pool.is_some() => "pool",
            () if item.delay.is_some() => "delay",
            () => "concat",
        };
        let count = counts.entry(kind).or_insert(0);
        *count += 1;
        let name = item.name.clone().unwrap_or_else(|| format!("{kind}{count}"));
        if !may_be(&name) {
            let message = "expected 1 to 64 letters, digits and `_`, and no name that begins with `bn`, `velocity`, \
                           `square` or `loss`";
            return Err((i, format!("`{name}`: {message}")));
        }
        let back = item.recurrent.then(|| format!("{name}_rec"));
        for name in std::iter::once(&name).chain(&back) {
            if !taken.insert(name.clone()) {
                return Err((i, format!("`{name}` is the name of another entry already")));
            }
        }
        if item.has_matrix() && !norms.insert(norm_of("bntt", &name)) {
            let message = format!("`{name}`: its norm would have the name of another entry's; expected another name");
            return Err((i, message));
        }
        names.push(name);
    }
    Ok(names)
}

/// Whether an entry may have a name.
fn may_be(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !RESERVED.iter().any(|start| name.starts_with(start))
}
