//! TOML documents that know where each key stands, so that every error names file, line and column; with `--set`
//! overrides.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

mod overrides;
mod words;

pub use self::overrides::Overrides;
#[cfg(test)]
pub(crate) use self::overrides::PROFILE_KEYS;
use self::overrides::split_assignment;
#[cfg(test)]
pub(crate) use self::words::SIGNS;
use self::words::{in_words, kind_besides, nearest};
pub(crate) use self::words::{most_like, shipped_like};
use crate::announced;
use crate::error::{Error, Result};
use crate::shipped;

/// The message where no such file is within the binary.
const NOT_SHIPPED: &str = "not found; expected a file that `crosspike show` lists";
/// The message where there is no file.
const NO_TOML: &str = "not found; expected a TOML file";
/// Keys of which one is enough, by the ends of their dotted names: what is set takes the place of what a file has.
const ALTERNATIVES: [[&str; 2]; 6] = [
    ["cell.g_max_us", "cell.levels_us"],
    ["cell.g_min_us", "cell.levels_us"],
    ["cell.on_off_ratio", "cell.levels_us"],
    ["cell.g_min_us", "cell.on_off_ratio"],
    ["variation.sigma", "variation.sigma_us"],
    ["variation.file", "variation.table"],
];

/// The error where there is no file, with the one that comes with crosspike and may be meant.
fn missing(file: &Path, what: &str) -> Error {
    let meant = shipped_like(file).map(|path| format!("; did you mean `{}{path}`?", shipped::WITHIN));
    Error::file(file, format!("{what}{}", meant.unwrap_or_default()))
}

/// Whether a key has its default: what writes a section leaves such keys out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A TOML file, or a text with a name, with overrides applied on top.
///
/// # Examples
/// ```
/// use crosspike::{Document, Profile};
///
/// let text = "[rram]\nweight_bits = 4\n[rram.variation]\nkind = \"lognormal\"\nsigma = 0.3";
/// let mut document = Document::parse_text("mine.toml".as_ref(), text.into())?;
/// document.set("rram.variation.sigma=0.1")?;
/// assert_eq!(Profile::from_document(&document)?.rram.variation.sigma, 0.1);
/// assert_eq!(document.place("rram.weight_bits"), "mine.toml:2:1");
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    file: PathBuf,
    /// The folder that relative paths start from.
    folder: PathBuf,
    text: String,
    table: Table,
    overrides: Vec<Override>,
    /// Keys that gave way to others that say the same.
    displaced: Vec<String>,
}

/// A key that was set from elsewhere, and from where.
#[derive(Clone, Debug)]
struct Override {
    key: String,
    place: String,
    base: PathBuf,
}

impl Document {
    /// Reads and parses a file, or the [shipped] one of this path where there is none, or where it says so.
    pub fn read(file: &Path) -> Result<Self> {
        if file.is_dir() {
            return Err(Error::file(file, "is a folder; expected a TOML file"));
        }
        announced::reading(file)?;
        if shipped::is_within(file) {
            let text = shipped::text(file).ok_or_else(|| missing(file, NOT_SHIPPED))?;
            return Self::parse_shipped(file, text);
        }
        let bytes = match (std::fs::read(file), shipped::text(file)) {
            (Err(error), Some(text)) if error.kind() == ErrorKind::NotFound => {
                announced::read_shipped(file);
                return Self::parse_shipped(file, text);
            }
            (Err(error), None) if error.kind() == ErrorKind::NotFound => {
                return Err(missing(file, NO_TOML));
            }
            (read, _) => read.map_err(Error::io(file))?,
        };
        let text = String::from_utf8(bytes).map_err(|_| Error::file(file, "not UTF-8 text; expected a TOML file"))?;
        Self::parse_text(file, text)
    }

    /// Parses the text of a shipped file, whose paths start from the current folder.
    fn parse_shipped(file: &Path, text: String) -> Result<Self> {
        Ok(Document { folder: PathBuf::new(), ..Self::parse_text(file, text)? })
    }

    /// Parses `text`; `file` is its name in errors, and relative paths in it start from that file's folder.
    pub fn parse_text(file: &Path, text: String) -> Result<Self> {
        let table = text.parse::<Table>().map_err(|e| Error::Config {
            place: place(file, e.span().map(|s| position(&text, s.start))),
            key: "TOML".into(),
            message: match e.message().trim() {
                large if large.contains(" as i128") || large.contains(" as u128") => {
                    format!(
                        "{}, expected a whole number from -2^63 to below 2^63",
                        large.split('`').nth(1).unwrap_or(large)
                    )
                }
                large if large.ends_with("value was too large") => {
                    "expected a whole number from -2^63 to below 2^63".into()
                }
                "duplicate key" => {
                    "duplicate key, expected each once; sections that repeat stand in double brackets, [[stage]]".into()
                }
                message => message.to_string(),
            },
        })?;
        let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Document { file: file.to_path_buf(), folder, text, table, overrides: Vec::new(), displaced: Vec::new() })
    }

    /// The document as TOML, with its overrides: its own text where there are none.
    pub fn to_toml(&self) -> String {
        match self.overrides.is_empty() && self.displaced.is_empty() {
            true => self.text.clone(),
            false => self.table.to_string(),
        }
    }

    /// The file's name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder that a relative path under `key` starts from: the file's own, or that of
    /// what set it (the current folder for `--set`).
    pub fn base(&self, key: &str) -> &Path {
        let set = self.overrides.iter().rev().find(|set| is_within(key, &set.key));
        set.map_or(&self.folder, |set| &set.base)
    }

    /// The keys and values with overrides applied.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The value of a dotted key, where it is written or set.
    pub fn table_at(&self, key: &str) -> Option<&Value> {
        at(&self.table, key)
    }

    /// Applies `a.b=v` as `--set` has it: `v` is a TOML value, else a bare string; nothing takes the key away.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        self.set_under("", assignment)
    }

    /// Sets a key of a model, which stands under `model.` on the command line.
    pub fn set_model(&mut self, assignment: &str) -> Result<()> {
        self.set_under("model.", assignment)
    }

    fn set_under(&mut self, prefix: &str, assignment: &str) -> Result<()> {
        let (key, text) = split_assignment(assignment)?;
        let place = format!("--set {prefix}{assignment}");
        if text.is_empty() {
            if remove(&mut self.table, key).is_none() && !self.displaced.iter().any(|gone| gone == key) {
                let message = "is not written, so there is nothing to take away; expected a value";
                return Err(Error::Config { place, key: key.into(), message: message.into() });
            }
            self.overrides.push(Override { key: key.into(), place, base: PathBuf::new() });
            return Ok(());
        }
        let value =
            parse_value(text).map_err(|message| Error::Config { place: place.clone(), key: key.into(), message })?;
        self.set_value(key, value, place, Path::new(""))
    }

    /// Sets the dotted `key`, creating tables on the way; errors about it then name `place`, and relative paths in it
    /// start from `base`.
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
        for other in ALTERNATIVES.iter().filter_map(|pair| other_of(pair, key)) {
            // A key that is set twice is refused where it is used.
            if !self.overrides.iter().any(|set| set.key == other) && remove(&mut self.table, &other).is_some() {
                self.displaced.push(other);
            }
        }
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
        let Some(mut section) = self.table.get(from).and_then(Value::as_table).cloned() else { return };
        let mut table = &mut self.table;
        for part in to {
            match table.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut() {
                Some(inner) => table = inner,
                None => return,
            }
        }
        for [one, other] in ALTERNATIVES.into_iter().flat_map(|[a, b]| [[a, b], [b, a]]) {
            if at(table, one).is_some() {
                remove(&mut section, other);
            }
        }
        fill(table, &section);
    }

    /// Gives an error that knows no place the place of `key`, also one about a file that is not there; others have
    /// their own.
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

    /// Deserialises the document; an unknown key or a wrong type is an error with its place, and the nearest name that
    /// is known.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|e| {
            let mut message = in_words(&e.inner().message().trim().replace('\n', " "));
            if let Some(nearest) = nearest(&message) {
                message += &format!("; did you mean `{nearest}`?");
            } else if e.path().iter().len() <= 1 && message.starts_with("unknown field") {
                message += &kind_besides(&self.table, &message);
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

    /// Holds numbers of a section, each a key and its value, to 0 and their largest value.
    ///
    /// # Errors
    /// An error with the place of the first that is beyond them.
    pub fn within(&self, section: &str, numbers: &[(&str, f64, f64)]) -> Result<()> {
        let is_wrong = |(_, value, most): &&(&str, f64, f64)| !(value.is_finite() && (0.0..=*most).contains(value));
        numbers.iter().find(is_wrong).map_or(Ok(()), |(key, value, most)| {
            Err(self.error(&format!("{section}.{key}"), format!("{value}, expected a number from 0 to {most}")))
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

/// A TOML value, else a bare string; an error for a number that TOML has no room for.
fn parse_value(text: &str) -> std::result::Result<Value, String> {
    let digits = text.trim_start_matches(['+', '-']);
    let parsed = format!("v = {text}").parse::<Table>().ok();
    match parsed.filter(|t| t.len() == 1).and_then(|mut t| t.remove("v")) {
        Some(value) => Ok(value),
        None if digits.len() > 18 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("{text}, expected a whole number from -2^63 to below 2^63"))
        }
        None => Ok(Value::String(text.into())),
    }
}

/// The value at a dotted key.
fn at<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// Takes the value at a dotted key away, where there is one.
fn remove(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        Some((section, rest)) => remove(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.remove(key),
    }
}

/// The key that one of a pair stands for as well as this one does.
fn other_of([one, other]: &[&str; 2], key: &str) -> Option<String> {
    let instead = |one: &str, other: &str| {
        let section = key.strip_suffix(one).filter(|section| section.is_empty() || section.ends_with('.'))?;
        Some(format!("{section}{other}"))
    };
    instead(one, other).or_else(|| instead(other, one))
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
            ("[inner]\n\nvalue = 'a'", "x.toml:3:1: inner.value: text \"a\", expected a number"),
            ("[inner]\nvalue = 1.0\n[other]", "x.toml:3:2: other: unknown field `other`, expected `inner`"),
            ("[inner]", "x.toml:1:2: inner: missing field `value`"),
        ];
        for (text, expected) in cases {
            assert_eq!(document(text).parse::<Outer>().unwrap_err().to_string(), expected);
        }
        for number in ["9223372036854775808", "-99999999999999999999"] {
            let error = Document::parse_text(Path::new("x.toml"), format!("a = {number}")).unwrap_err().to_string();
            assert!(error.starts_with("x.toml:1:5: TOML: ") && error.ends_with("to below 2^63"), "{error}");
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
        assert_eq!(error, "--set inner.value=high: inner.value: text \"high\", expected a number");
        let error = doc.set("inner.value=18446744073709551616").unwrap_err().to_string();
        assert!(error.ends_with("expected a whole number from -2^63 to below 2^63"), "{error}");
        assert!(doc.set("novalue").is_err() && doc.set("a..b=1").is_err() && doc.set("inner.value.x=1").is_err());
        doc.set("inner.value=").unwrap();
        let error = doc.parse::<Outer>().unwrap_err().to_string();
        assert!(error.starts_with("--set inner.value=: inner: missing field `value`"), "{error}");
        let error = doc.set("inner.value=").unwrap_err().to_string();
        assert!(error.contains("nothing to take away"), "{error}");
    }

    #[test]
    fn what_is_set_replaces_what_says_the_same_in_another_way() {
        for [one, other] in ALTERNATIVES.into_iter().flat_map(|[a, b]| [[a, b], [b, a]]) {
            let (section, name) = other.rsplit_once('.').unwrap();
            let mut doc = document(&format!("[rram.{section}]\n{name} = 1\n[layer.conv1.rram.{section}]\n{name} = 2"));
            doc.set(&format!("rram.{one}=3")).unwrap();
            assert!(doc.table_at(&format!("rram.{other}")).is_none() && doc.table_at(&format!("rram.{one}")).is_some());
            assert!(doc.table_at(&format!("layer.conv1.rram.{other}")).is_some(), "another section's stays");
            // Both set: for whoever uses them to refuse.
            doc.set(&format!("rram.{other}=4")).unwrap();
            assert!(doc.table_at(&format!("rram.{one}")).is_some());
            let mut doc = document(&format!("[rram.{section}]\n{name} = 1\nlevels = 7"));
            doc.set(&format!("layer.conv1.rram.{one}=3")).unwrap();
            doc.inherit("rram", ["layer", "conv1", "rram"]);
            let inherited = |key: &str| doc.table_at(&format!("layer.conv1.rram.{key}")).cloned();
            assert_eq!(inherited(other), None, "a layer's own way takes the place of the chip's");
            assert_eq!(inherited(&format!("{section}.levels")), Some(Value::Integer(7)));
        }
    }
}
