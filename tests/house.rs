//! The house is what `src/lib.rs` draws: a room uses rooms of its own floor and of those below, and no file uses one that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms by floor, from the ground up.
const FLOORS: [&[&str]; 10] = [
    &[
        "error",
        "numeric",
        "rng",
        "kernels",
        "lock",
        "hdf5",
        "memory",
        "monitor",
        "target",
        "announced",
        "atomic",
        "output",
        "config",
    ],
    &["device", "fit", "profile", "checkpoint", "data", "network", "nir"],
    &["crossbar"],
    &["plan", "effect", "chip", "survey", "programmer", "system"],
    &["forward"],
    &["engine"],
    &["session"],
    &["train", "attack"],
    &["study", "report"],
    &["cli"],
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of a folder, by its path from `src`, without its tests and comments.
fn files(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
            found.insert(name, code.join("\n"));
        }
    }
}

/// Names that stand behind `crate::` or `super::`, with what follows of the path.
fn used<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    // A macro's `$crate` is where it is used.
    let own = code.match_indices(prefix).filter(|(at, _)| !code[..*at].ends_with('$'));
    let places = own.map(|(at, _)| &code[at + prefix.len()..]);
    places.map(|rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]).collect()
}

#[test]
fn no_room_uses_one_above_it() {
    let mut all = BTreeMap::new();
    files(&source(), &mut all);
    let floor = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
    let mut seen = BTreeSet::new();
    for (file, code) in &all {
        let room = file.split('/').next().unwrap().trim_end_matches(".rs");
        if ["lib", "main", "process"].contains(&room) {
            continue;
        }
        let own = floor(room).unwrap_or_else(|| panic!("`{room}` has no floor"));
        seen.insert(room);
        for path in used(code, "crate::") {
            let other = path.split(':').next().unwrap();
            let other_floor = floor(other).unwrap_or_else(|| panic!("{file}: `{other}` has no floor"));
            assert!(other_floor <= own, "{file}, on floor {own}, uses `{other}` of floor {other_floor}");
        }
    }
    assert_eq!(seen.len(), FLOORS.iter().map(|rooms| rooms.len()).sum::<usize>(), "every room is there: {seen:?}");
}

#[test]
fn files_of_a_room_do_not_use_each_other_in_circles() {
    let mut all = BTreeMap::new();
    files(&source(), &mut all);
    // A room's own head may name its files, which may use it: what it defines is theirs too.
    let names: BTreeSet<&str> = all.keys().map(String::as_str).filter(|name| !name.ends_with("mod.rs")).collect();
    let target = |file: &str, path: &str, from: &str| -> Option<String> {
        let first = path.split("::").next()?;
        let folder = if from.is_empty() { String::new() } else { format!("{from}/") };
        let candidates = [format!("{folder}{first}.rs"), {
            let second = path.split("::").nth(1)?;
            format!("{folder}{first}/{second}.rs")
        }];
        candidates.into_iter().find(|name| names.contains(name.as_str()) && name != file)
    };
    let mut uses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in &all {
        let own = Path::new(file).parent().unwrap().to_str().unwrap();
        let beside = used(code, "super::").into_iter().filter_map(|path| target(file, path, own));
        let whole = used(code, "crate::").into_iter().filter_map(|path| target(file, path, ""));
        uses.insert(file, beside.chain(whole).collect());
    }
    for start in uses.keys() {
        let (mut reached, mut next): (BTreeSet<String>, Vec<String>) =
            (BTreeSet::new(), uses[start].iter().cloned().collect());
        while let Some(file) = next.pop() {
            assert_ne!(file, *start, "{start} uses a file that uses it, by way of {reached:?}");
            if reached.insert(file.clone()) {
                next.extend(uses.get(file.as_str()).into_iter().flatten().cloned());
            }
        }
    }
}
