//! The words of errors about a document: plain ones for Rust's types, a name that is near, a kind of file that it looks
//! like.

use std::path::Path;

use toml::Table;

use crate::shipped;

/// Keys at the top of a file by which its kind is known: by the first of them that it has.
pub(crate) const SIGNS: [(&str, &str); 13] = [
    ("classes", "a model"),
    ("layers", "a model"),
    ("rram", "a profile"),
    ("tile", "a profile"),
    ("adc", "a profile"),
    ("wires", "a profile"),
    ("sram", "a profile"),
    ("cost", "a profile"),
    ("stage", "a recipe"),
    ("grid", "a sweep"),
    ("point", "a sweep"),
    ("sample", "a sweep"),
    ("train", "a training file"),
];

/// A message with a word for each of Rust's types and for the ways of TOML to write a value.
pub(super) fn in_words(message: &str) -> String {
    const TYPES: [(&str, &str); 9] = [
        ("u8", "a whole number from 0 to 255"),
        ("u32", "a whole number from 0 on"),
        ("u64", "a whole number from 0 on"),
        ("usize", "a whole number from 0 on"),
        ("i32", "a whole number"),
        ("i64", "a whole number"),
        ("f32", "a number"),
        ("f64", "a number"),
        ("a boolean", "true or false"),
    ];
    let (what, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let Some((_, words)) = TYPES.iter().find(|(name, _)| *name == expected) else { return message.into() };
    let kinds = [("string", "text"), ("floating point", "number"), ("integer", "number"), ("boolean", "value")];
    let what = ["invalid type: ", "invalid value: "].iter().find_map(|start| what.strip_prefix(start)).map_or(
        what.into(),
        |given| {
            let kind = kinds.iter().find(|(kind, _)| given.starts_with(kind));
            kind.map_or(given.into(), |(kind, word)| given.replacen(kind, word, 1).replace('`', ""))
        },
    );
    format!("{what}, expected {words}")
}

/// The kind that a file seems to be of, by a key at its top that a message about an unknown one does not expect.
pub(super) fn kind_besides(table: &Table, message: &str) -> String {
    let (_, expected) = message.split_once(", expected ").unwrap_or_default();
    let is_sign = |key: &str| table.contains_key(key) && !expected.contains(&format!("`{key}`"));
    let sign = SIGNS.iter().find(|(key, _)| is_sign(key));
    sign.map_or(String::new(), |(key, kind)| format!("; a file with `{key}` is {kind}"))
}

/// The name that is most like an unknown one, of those that a message about it expects, where it is much like it.
pub(super) fn nearest(message: &str) -> Option<&str> {
    let (unknown, expected) = message.strip_prefix("unknown ")?.split_once(", expected ")?;
    let unknown = unknown.split('`').nth(1)?;
    let known = expected.split('`').skip(1).step_by(2);
    most_like(unknown, known)
}

/// The file that comes with crosspike whose path is most like one that leads nowhere, where it is much like it.
pub(crate) fn shipped_like(file: &Path) -> Option<String> {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let wanted = stem(file)?;
    let folder = file.parent().and_then(Path::file_name).map(|folder| folder.to_string_lossy().into_owned());
    let folder = folder.map(|folder| format!("{}/", folder.rsplit(':').next().unwrap_or_default()));
    let is_beside = |path: &String| folder.as_ref().is_some_and(|folder| path.starts_with(folder.as_str()));
    let beside: Vec<String> = shipped::paths().filter(is_beside).collect();
    let all = if beside.is_empty() { shipped::paths().collect() } else { beside };
    let names: Vec<String> = all.iter().filter_map(|path| stem(Path::new(path))).collect();
    let like = most_like(&wanted, names.iter().map(String::as_str))?;
    all.iter().zip(&names).find(|(_, name)| *name == like).map(|(path, _)| path.clone())
}

/// The known name that is most like an unknown one, where it is much like it.
pub(crate) fn most_like<'n>(unknown: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let likeness = |known: &str| strsim::jaro_winkler(unknown, known);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then_some(best)
}
