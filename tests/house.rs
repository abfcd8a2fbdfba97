//! The house is what `src/lib.rs` draws: a room uses rooms of its own floor and of those below, and no file uses one
//! that uses it.

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
        "shipped",
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

/// Files with an ending below a folder, but for those of builds.
fn with_ending(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !["target", ".git", "runs"].contains(&name.as_str()) {
            with_ending(&path, endings, found);
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

#[test]
fn lines_have_at_most_120_columns() {
    let mut all = vec![];
    with_ending(source().parent().unwrap(), &[".rs", ".wgsl", ".md"], &mut all);
    let mut long = vec![];
    for path in all {
        let [is_page, is_shader] = ["md", "wgsl"].map(|of| path.extension().is_some_and(|ending| ending == of));
        // These pages are written by commands: `crosspike schema --markdown`, and the test of what works with what.
        if is_page
            && (path.ends_with("docs/support.md") || path.parent().is_some_and(|folder| folder.ends_with("keys")))
        {
            continue;
        }
        let mut is_code = false;
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let text = line.trim_start();
            let prose = match text.strip_prefix("//") {
                _ if is_page => Some(text),
                comment => comment.map(|text| text.trim_start_matches(['/', '!', ' '])),
            };
            is_code ^= prose.is_some_and(|prose| prose.starts_with("```"));
            // A row of a table, a picture, a signature, an address, a string and a pattern stand on one line, and code
            // that a shader unrolls.
            let may_be_long = match prose {
                Some(prose) => {
                    is_code && (is_page || text.contains('"'))
                        || prose.starts_with(['|', '<', '!'])
                        || prose.contains("http")
                        || prose.contains(") -> ")
                }
                None => is_shader || text.contains(['"', '$']),
            };
            if line.chars().count() > 120 && !may_be_long {
                long.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(long.is_empty(), "longer than 120 columns:\n{}", long.join("\n"));
}

/// Licences that everything which is linked may have, for crosspike is under MIT or Apache-2.0.
const LICENCES: [&str; 11] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "BSL-1.0",
];

#[test]
fn every_dependency_has_a_licence_that_fits() {
    let mut command = std::process::Command::new(env!("CARGO"));
    command
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(source().join("../Cargo.toml"));
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        let one_fits = |part: &str| part.split(" OR ").any(|one| LICENCES.contains(&one.trim_matches(['(', ')', ' '])));
        assert!(licence.split(" AND ").all(one_fits), "{} has the licence `{licence}`", package["name"]);
    }
}
