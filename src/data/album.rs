//! Which files of a folder or an archive, such as pictures, belong to which half and class.
//!
//! Read are `CLASS/…`, one set, of which a share may be held out for testing; `train/CLASS/…` beside `test/CLASS/…` or
//! `val/CLASS/…`; and the layout of Tiny ImageNet, `train/CLASS/images/…` beside `val/images/…` with
//! `val/val_annotations.txt`. One folder around all of it does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::Split;
use super::files::Files;
use crate::error::Result;

/// The folders that may be the training half, and those that may be the test half, the first one that has its classes;
/// in any case.
const HALVES: [&[&str]; 2] = [&["train", "training"], &["test", "testing", "val", "valid", "validation"]];
/// Names a file's class, where the folders do not: the file's name, the class's, and more, between tabs.
const ANNOTATIONS: &str = "val_annotations.txt";

/// What to say of a set that is not in halves.
pub(super) const ONE_SET: &str =
    "one set, not in halves: training and testing take all of it; `?test=0.1` holds a tenth out";

/// The kind of files that a set is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileKind {
    /// What they are called, such as `pictures`.
    pub called: &'static str,
    /// What their names may end in, in small letters.
    pub endings: &'static [&'static str],
}

impl FileKind {
    /// Whether a file is of the kind by its name; what systems hide is not.
    fn has(self, name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or(name);
        let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let is_hidden = name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX");
        ending.is_some_and(|ending| self.endings.contains(&ending.as_str())) && !is_hidden
    }
}

/// Files by class, of one half.
pub(super) struct Album {
    /// The classes' names, in the order of the alphabet.
    pub classes: Vec<String>,
    /// Each file, and its class: the first of every class, then the second of every class, and so on, so that the first
    /// ones stand for all classes.
    pub files: Vec<(String, u32)>,
    /// Whether the training and the test half stand apart.
    pub in_halves: bool,
    /// What is there and was not taken.
    pub notices: Vec<String>,
}

/// Files by class.
type ByClass = BTreeMap<String, Vec<String>>;

/// The files of a kind, and where they lie.
struct FoundFiles<'f> {
    files: &'f Files,
    kind: FileKind,
    /// The folder around everything, with a `/`, or nothing.
    root: String,
    /// Relative to the root.
    names: Vec<&'f str>,
}

impl Album {
    /// Sorts the files of a kind. Of a set that is not in halves, `held_out` of every class, the last ones, are the
    /// test half.
    pub fn of(files: &Files, kind: FileKind, split: Split, held_out: Option<f64>) -> Result<Self> {
        let root = around(files.names(), kind);
        let (names, others): (Vec<&str>, Vec<&str>) =
            files.names().iter().map(|name| name.strip_prefix(&root).unwrap_or(name)).partition(|name| kind.has(name));
        let found = FoundFiles { files, kind, root, names };
        let mut notices: Vec<String> = found.without_effect(&others).into_iter().collect();
        let (known, chosen, in_halves) = found.half(split, held_out, &mut notices)?;
        let classes: Vec<String> = known.into_iter().collect();
        if classes.len() < 2 {
            let (count, called) = (found.names.len(), kind.called);
            let endings = kind.endings.join(", .");
            let expected = "expected folders of at least two classes, CLASS/…, train/CLASS/… or val/CLASS/…";
            let message = format!(
                "{count} {called} (.{endings}) in {} classes, and {} other files; {expected}",
                classes.len(),
                others.len()
            );
            return Err(files.refuse(&found.root, message));
        }
        notices.extend(in_text(&classes));
        let of = |class: &String| classes.binary_search(class).expect("a class of the training half") as u32;
        let of_classes = chosen.iter().map(|(class, names)| (of(class), &names[..])).collect::<Vec<_>>();
        let files = in_turn(&of_classes).map(|(name, class)| (format!("{}{name}", found.root), class)).collect();
        Ok(Album { classes, files, in_halves, notices })
    }
}

impl FoundFiles<'_> {
    /// The classes that there are, the files of the half that is asked for, and whether there are halves.
    fn half(
        &self,
        split: Split,
        held_out: Option<f64>,
        notices: &mut Vec<String>,
    ) -> Result<(BTreeSet<String>, ByClass, bool)> {
        let tops: BTreeSet<&str> = self.names.iter().filter_map(|name| top(name)).collect();
        let [training, tests] = HALVES.map(|known| {
            let by_name = |half: &&str| tops.iter().copied().find(|top| top.eq_ignore_ascii_case(half));
            known.iter().filter_map(by_name).collect::<Vec<_>>()
        });
        let classes = |files: &ByClass| files.keys().cloned().collect();
        let others: Vec<&str> =
            tops.iter().copied().filter(|top| !training.contains(top) && !tests.contains(top)).collect();
        let refuse = |message: String| Err(self.files.refuse(&self.root, message));
        match (&training[..], &tests[..], &others[..]) {
            ([training], [_, ..], []) => return self.in_halves((training, &tests), (split, held_out), notices),
            ([_, _, ..], [_, ..], []) => {
                return refuse(format!("has {}; expected one training half", training.join(" and ")));
            }
            ([training, ..], [test, ..], [other, ..]) => {
                return refuse(format!(
                    "{other}/ stands beside {training}/ and {test}/; expected halves, or folders of classes alone"
                ));
            }
            ([], [_, _, ..], []) => return refuse(format!("has {}, and no training half", tests.join(" and "))),
            ([half, ..], [], [other, ..]) | ([], [half, ..], [other, ..]) => {
                notices.push(format!("{half}/ is taken as a class, for {other}/ stands beside it"));
            }
            _ => {}
        }
        let mut all = match (&training[..], &tests[..], &others[..]) {
            ([half], [], []) | ([], [half], []) => self.by_class(half)?,
            _ => self.by_class("")?,
        };
        let known = classes(&all);
        let Some(share) = held_out else { return Ok((known, all, false)) };
        for (class, names) in &mut all {
            if names.len() < 2 {
                return refuse(format!(
                    "the class {class} has one of the {} alone; `test` holds one out at least",
                    self.kind.called
                ));
            }
            let trained = ((names.len() as f64 * (1.0 - share)).ceil() as usize).clamp(1, names.len() - 1);
            let tested = names.split_off(trained);
            if split == Split::Test {
                *names = tested;
            }
        }
        Ok((known, all, true))
    }

    /// The classes of the training half, and the files of one half; the test half is the first that has these classes.
    fn in_halves(
        &self,
        (training, tests): (&str, &[&str]),
        (split, held_out): (Split, Option<f64>),
        notices: &mut Vec<String>,
    ) -> Result<(BTreeSet<String>, ByClass, bool)> {
        if held_out.is_some() {
            let message =
                format!("`test` holds files out, and {}/ is there for testing; expected one of them", tests[0]);
            return Err(self.files.refuse(&self.root, message));
        }
        let known = self.by_class(training)?;
        let (mut of_test, mut last_error) = (None, None);
        for half in tests {
            let fits = match self.by_class(half) {
                Ok(there) if there.keys().all(|class| known.contains_key(class)) => Ok(there),
                Ok(there) => {
                    let more: Vec<String> = there.into_keys().filter(|class| !known.contains_key(class)).collect();
                    let message = format!(
                        "{half}/ has folders that {training}/ has not, {}; expected the same classes",
                        more.join(", ")
                    );
                    Err(self.files.refuse(&self.root, message))
                }
                Err(error) => Err(error),
            };
            match fits {
                Ok(there) if of_test.is_none() => of_test = Some(there),
                fits => {
                    notices.push(format!("without effect are the {} in {half}/", self.kind.called));
                    last_error = fits.err().or(last_error);
                }
            }
        }
        let classes = known.keys().cloned().collect();
        match (of_test, last_error) {
            (Some(of_test), _) => Ok((classes, if split == Split::Train { known } else { of_test }, true)),
            (None, error) => Err(error.expect("each half had an error")),
        }
    }

    /// What to say of files of other kinds.
    fn without_effect(&self, others: &[&str]) -> Option<String> {
        let is_annotation = |name: &&str| name.rsplit('/').next() == Some(ANNOTATIONS);
        let left: Vec<&str> = others.iter().copied().filter(|name| !is_annotation(name)).collect();
        let endings: Vec<String> = self.kind.endings.iter().map(|ending| format!(".{ending}")).collect();
        let (first, endings) = (left.first()?, endings.join(", "));
        Some(format!("without effect are {} files of other names than {endings}, such as {first}", left.len()))
    }

    /// The files of a half, or of everything where `half` is empty, by class.
    fn by_class(&self, half: &str) -> Result<ByClass> {
        let FoundFiles { files, root, .. } = self;
        let before = if half.is_empty() { String::new() } else { format!("{half}/") };
        let annotations = format!("{root}{before}{ANNOTATIONS}");
        let named = match files.names().binary_search(&annotations) {
            Ok(_) => Some(annotated(files, &annotations)?),
            Err(_) => None,
        };
        let mut by_class = ByClass::new();
        for name in &self.names {
            let Some(rest) = name.strip_prefix(&before) else { continue };
            let class = match (&named, rest.split_once('/')) {
                (Some(named), _) => {
                    let file = rest.rsplit('/').next().unwrap_or(rest);
                    let class = named.get(file).map(String::as_str);
                    class.ok_or_else(|| files.refuse(&annotations, format!("names no class of {name}")))?
                }
                (None, Some((class, _))) => class,
                (None, None) => {
                    return Err(
                        files.refuse(&format!("{root}{name}"), "expected a folder of its class around the file")
                    );
                }
            };
            by_class.entry(class.to_owned()).or_default().push((*name).to_owned());
        }
        Ok(by_class)
    }
}

/// What to say of classes that are numbers, and whose order as text is another one.
fn in_text(classes: &[String]) -> Option<String> {
    let numbers: Vec<u32> = classes.iter().map(|name| name.parse().ok()).collect::<Option<_>>()?;
    let at = numbers.windows(2).position(|pair| pair[0] > pair[1])?;
    Some(format!(
        "classes are numbered by their names as text, as torchvision does: the folder {} is class {at}, before {}",
        classes[at],
        classes[at + 1]
    ))
}

/// The class of each file that a list of annotations names.
fn annotated(files: &Files, list: &str) -> Result<BTreeMap<String, String>> {
    let bytes = files.bytes(list)?;
    let text = str::from_utf8(&bytes).map_err(|error| files.refuse(list, error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let mut fields = line.split('\t');
            match (fields.next(), fields.next()) {
                (Some(file), Some(class)) => Ok((file.to_owned(), class.trim().to_owned())),
                _ => Err(files
                    .refuse(list, format!("line {}: expected a file and its class, with a tab between them", at + 1))),
            }
        })
        .collect()
}

/// The folder that lies around everything, with a `/`, where one does that is no half, and there are folders of files
/// in it.
fn around(names: &[String], kind: FileKind) -> String {
    let found = || names.iter().filter(|name| kind.has(name));
    let tops: BTreeSet<&str> = found().map(|name| name.split('/').next().unwrap_or_default()).collect();
    let is_half = |name: &str| HALVES.iter().flat_map(|half| half.iter()).any(|half| half.eq_ignore_ascii_case(name));
    let tops: Vec<&str> = tops.into_iter().collect();
    match tops[..] {
        [only] if !is_half(only) && found().all(|name| name.matches('/').count() > 1) => format!("{only}/"),
        _ => String::new(),
    }
}

/// The folder at the top that a file lies in.
fn top(name: &str) -> Option<&str> {
    name.split_once('/').map(|(top, _)| top)
}

/// The first file of every class, then the second of every class, and so on.
fn in_turn<'n>(classes: &[(u32, &'n [String])]) -> impl Iterator<Item = (&'n str, u32)> {
    let longest = classes.iter().map(|(_, names)| names.len()).max().unwrap_or(0);
    let round = move |at: usize| {
        let there = classes.iter().filter_map(move |(class, names)| Some((names.get(at)?.as_str(), *class)));
        there.collect::<Vec<_>>()
    };
    (0..longest).flat_map(round).collect::<Vec<_>>().into_iter()
}
