//! TOML documents that know where each key stands, so that every error names file, line and column; with `--set` overrides.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result};

/// A TOML file, or a text with a name, with overrides applied on top.
#[derive(Clone, Debug)]
pub struct Document {
    file: PathBuf,
    text: String,
    table: Table,
    overrides: Vec<Override>,
}

/// A key that was set from elsewhere, and from where.
#[derive(Clone, Debug)]
struct Override {
    key: String,
    place: String,
    base: PathBuf,
}

impl Document {
    /// Reads and parses a file.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).map_err(Error::io(file))?;
        let text = String::from_utf8(bytes).map_err(|_| Error::file(file, "not UTF-8 text; expected a TOML file"))?;
        Self::parse_text(file, text)
    }

    /// Parses `text`; `file` is its name in errors, and relative paths in it start from that file's folder.
    pub fn parse_text(file: &Path, text: String) -> Result<Self> {
        let table = text.parse::<Table>().map_err(|e| Error::Config {
            place: place(file, e.span().map(|s| position(&text, s.start))),
            key: "TOML".into(),
            message: e.message().trim().to_string(),
        })?;
        Ok(Document { file: file.to_path_buf(), text, table, overrides: Vec::new() })
    }

    /// The file's name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder that a relative path under `key` starts from: the file's own, or that of
    /// what set it (the current folder for `--set`).
    pub fn base(&self, key: &str) -> &Path {
        let set = self.overrides.iter().rev().find(|set| is_within(key, &set.key));
        set.map_or_else(|| self.file.parent().unwrap_or(Path::new("")), |set| &set.base)
    }

    /// The keys and values with overrides applied.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The value of a dotted key, where it is written or set.
    pub fn table_at(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.table.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// Applies `a.b=v` as `--set` has it: `v` is a TOML value, else a bare string.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let (key, text) = split_assignment(assignment)?;
        let value = parse_value(text);
        let place = format!("--set {key}={value}");
        self.set_value(key, value, place, Path::new(""))
    }

    /// The same for a model, whose keys stand under `model.` on the command line.
    pub fn set_model(&mut self, assignment: &str) -> Result<()> {
        let (key, text) = split_assignment(assignment)?;
        let value = parse_value(text);
        let place = format!("--set model.{key}={value}");
        self.set_value(key, value, place, Path::new(""))
    }

    /// Sets the dotted `key`, creating tables on the way; errors about it then name `place`, and relative paths in it start
    /// from `base`.
    pub fn set_value(&mut self, key: &str, value: Value, place: String, base: &Path) -> Result<()> {
        let refuse = |message: String| Err(Error::Config { place: place.clone(), key: key.into(), message });
        if key.split('.').any(str::is_empty) {
            return refuse("expected dotted keys such as rram.variation.scale".into());
        }
        let (sections, last) = key.rsplit_once('.').map_or((None, key), |(sections, last)| (Some(sections), last));
        let mut table = &mut self.table;
        for part in sections.into_iter().flat_map(|sections| sections.split('.')) {
            match table.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut() {
                Some(inner) => table = inner,
                None => return refuse(format!("`{part}` is a value, not a section")),
            }
        }
        table.insert(last.into(), value);
        self.overrides.push(Override { key: key.into(), place, base: base.to_path_buf() });
        Ok(())
    }

    /// Copies what the section `from` holds and the table at `to` does not; without that section, nothing.
    pub fn inherit(&mut self, from: &str, to: [&str; 3]) {
        fn fill(to: &mut Table, from: &Table) {
            for (key, value) in from {
                if let (Value::Table(to), Value::Table(from)) = (to.entry(key).or_insert_with(|| value.clone()), value)
                {
                    fill(to, from);
                }
            }
        }
        let Some(section) = self.table.get(from).and_then(Value::as_table).cloned() else { return };
        let mut table = &mut self.table;
        for part in to {
            match table.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut() {
                Some(inner) => table = inner,
                None => return,
            }
        }
        fill(table, &section);
    }

    /// Gives an error that knows no place the place of `key`, also one about a file that is not there; others have their own.
    pub fn locate<'d>(&'d self, key: &str) -> impl Fn(Error) -> Error + use<'d> {
        let key = key.to_string();
        move |error| match error {
            Error::Usage(message) | Error::Mismatch(message) => self.error(&key, message),
            Error::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                self.error(&key, error.to_string())
            }
            Error::File { ref file, .. } if !file.exists() => self.error(&key, error.to_string()),
            placed => placed,
        }
    }

    /// Where a key stands: `file:line:column`.
    pub fn place(&self, key: &str) -> String {
        place(&self.file, self.position(key))
    }

    /// Deserialises the document; an unknown key or a wrong type is an error with its place, and the nearest name that is known.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|e| {
            let mut message = e.inner().message().trim().replace('\n', " ");
            if let Some(nearest) = nearest(&message) {
                message += &format!("; did you mean `{nearest}`?");
            }
            let mut key = e.path().to_string();
            if let Some(unknown) = message.strip_prefix("unknown field `").and_then(|m| m.split('`').next())
                && key.split('.').next_back() != Some(unknown)
            {
                key = if key == "." { unknown.into() } else { format!("{key}.{unknown}") };
            }
            if key == "." {
                key = message.split('`').nth(1).unwrap_or("document").into();
            }
            self.error(&key, message)
        })
    }

    /// An error about `key`, with the place where it stands or the override that set it.
    pub fn error(&self, key: &str, message: impl Into<String>) -> Error {
        let is_about = |set: &&Override| is_within(key, &set.key) || is_within(&set.key, key);
        let set = self.overrides.iter().rev().find(is_about);
        let place = set.map_or_else(|| self.place(key), |set| set.place.clone());
        Error::Config { place, key: key.into(), message: message.into() }
    }

    /// Line and column (from 1) of a dotted key such as `layers[3].conv`, or of the nearest section that holds it.
    fn position(&self, key: &str) -> Option<(usize, usize)> {
        let document = toml::de::DeTable::parse(&self.text).ok()?;
        let mut found = None;
        let mut node = toml::de::DeValue::Table(document.into_inner());
        let key = key.replace('[', ".[");
        let mut rest = Some(key.as_str());
        while let Some(path) = rest {
            let (part, after) = path.split_once('.').map_or((path, None), |(part, after)| (part, Some(after)));
            rest = after;
            let next = match node {
                toml::de::DeValue::Table(table) => {
                    // A quoted key may hold the dots of a whole path.
                    let is_named = |name: &str| name == part || name == path;
                    let Some((name, value)) = table.into_iter().find(|(name, _)| is_named(name.get_ref())) else {
                        break;
                    };
                    found = Some(name.span().start);
                    value.into_inner()
                }
                toml::de::DeValue::Array(array) => {
                    let index = part.trim_matches(['[', ']']).parse::<usize>().ok();
                    let Some(value) = index.and_then(|i| array.into_iter().nth(i)) else { break };
                    found = Some(value.span().start);
                    value.into_inner()
                }
                _ => break,
            };
            node = next;
        }
        found.map(|offset| position(&self.text, offset))
    }
}

/// `--set` overrides, sorted by the document they belong to.
#[derive(Debug, Default)]
pub struct Overrides {
    /// Keys of the profile.
    pub profile: Vec<String>,
    /// Keys of the model, without their `model.` prefix.
    pub model: Vec<String>,
    /// Keys of the command's own file.
    pub own: Vec<String>,
}

impl Overrides {
    /// Sorts assignments `key=value`. `own` are the first parts of keys that belong to the command's own file; `model.x` is
    /// always the model's.
    pub fn sort(assignments: &[String], own: &[&str]) -> Result<Self> {
        let mut sorted = Overrides::default();
        for assignment in assignments {
            let (key, text) = split_assignment(assignment)?;
            let section = key.split('.').next().unwrap_or_default();
            match key.strip_prefix("model.") {
                Some(key) => sorted.model.push(format!("{key}={text}")),
                None if own.contains(&section) => sorted.own.push(assignment.clone()),
                None => sorted.profile.push(assignment.clone()),
            }
        }
        Ok(sorted)
    }
}

/// Splits `key=value`.
fn split_assignment(assignment: &str) -> Result<(&str, &str)> {
    assignment
        .split_once('=')
        .map(|(key, text)| (key.trim(), text.trim()))
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Error::Usage(format!("--set {assignment}: expected KEY=VALUE, such as rram.variation.scale=2")))
}

/// A TOML value, else a bare string.
fn parse_value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok();
    parsed.filter(|t| t.len() == 1).and_then(|mut t| t.remove("v")).unwrap_or_else(|| Value::String(text.into()))
}

/// Whether `key` is `section` or lies in it.
fn is_within(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn place(file: &Path, position: Option<(usize, usize)>) -> String {
    match position {
        Some((line, column)) => format!("{}:{line}:{column}", file.display()),
        None => file.display().to_string(),
    }
}

/// Line and column, counted in characters from 1, of a byte of a text.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Of the names that a message about an unknown one expects, the one that is most like it, where it is much like it.
fn nearest(message: &str) -> Option<&str> {
    let (unknown, expected) = message.strip_prefix("unknown ")?.split_once(", expected ")?;
    let unknown = unknown.split('`').nth(1)?;
    let known = expected.split('`').skip(1).step_by(2);
    let likeness = |known: &str| strsim::jaro_winkler(unknown, known);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code, reason = "only its parsing is tested")]
        inner: Inner,
    }

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code, reason = "only its parsing is tested")]
        value: f64,
    }

    fn document(text: &str) -> Document {
        Document::parse_text(Path::new("x.toml"), text.into()).unwrap()
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let cases = [
            ("[inner]\nvalue = 1.0\nsgima = 2", "x.toml:3:1: inner.sgima: unknown field `sgima`, expected `value`"),
            (
                "inner = { vaule = 2 }",
                "x.toml:1:11: inner.vaule: unknown field `vaule`, expected `value`; did you mean `value`?",
            ),
            ("[inner]\n\nvalue = 'a'", "x.toml:3:1: inner.value: invalid type: string \"a\", expected f64"),
            ("[inner]\nvalue = 1.0\n[other]", "x.toml:3:2: other: unknown field `other`, expected `inner`"),
            ("[inner]", "x.toml:1:2: inner: missing field `value`"),
        ];
        for (text, expected) in cases {
            assert_eq!(document(text).parse::<Outer>().unwrap_err().to_string(), expected);
        }
        let broken = Document::parse_text(Path::new("x.toml"), "a = 1\nb = ".into()).unwrap_err().to_string();
        assert!(broken.starts_with("x.toml:2:5: TOML:"), "{broken}");
    }

    #[test]
    fn overrides_replace_values_and_are_named_in_errors() {
        let mut doc = document("[inner]\nvalue = 1.0");
        doc.set("inner.value=2.5").unwrap();
        assert_eq!(doc.parse::<Outer>().unwrap().inner.value, 2.5);
        doc.set("inner.value=high").unwrap();
        let error = doc.parse::<Outer>().unwrap_err().to_string();
        assert!(error.starts_with("--set inner.value=\"high\": inner.value:"), "{error}");
        assert!(doc.set("novalue").is_err() && doc.set("a..b=1").is_err() && doc.set("inner.value.x=1").is_err());
    }
}
