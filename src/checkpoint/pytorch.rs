//! PyTorch's zip format: a pickle `NAME/data.pkl` that describes the tensors, and an entry `NAME/data/KEY` for the
//! bytes of each storage, of which tensors are strided views.
//!
//! Sizes are held against each other before anything is allocated: the storages lie within the file, compressed ones
//! expand as far as deflate can, and all tensors together may hold no more values than their storages have bytes.

use std::collections::{BTreeMap, HashSet};
use std::io::{Cursor, Read};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::element::Element;
use super::pickle::{Id, Object, Pickle};
use super::{Checkpoint, Tensor, machine, shown};
use crate::memory;

/// The largest `data.pkl` read, in bytes; a tensor takes about 120.
const PICKLE_LIMIT: u64 = 16 << 20;

/// The most dimensions a tensor has in PyTorch.
const DIMENSIONS: usize = 64;

/// Deflate expands a byte to at most this many.
const DEFLATE_RATIO: u64 = 1032;

/// Keys under which training scripts put the parameters beside an epoch, an accuracy or an optimizer.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Reads a PyTorch file; the parameters are those at a dotted key, or where training scripts put them.
pub(super) fn parse(bytes: &[u8], key: Option<&str>) -> Result<Checkpoint, String> {
    let mut archive = PytorchArchive::open(bytes)?;
    if archive.size("byteorder").is_some() && archive.read("byteorder", 16)? != b"little" {
        return Err("its byte order is not little-endian; save it on a little-endian machine".into());
    }
    let pickle = machine::run(&archive.read("data.pkl", PICKLE_LIMIT)?)?;
    let parameters = Parameters::of(&pickle, key)?;

    let mut checkpoint = Checkpoint::default();
    let mut views: BTreeMap<&str, Vec<(&str, View)>> = BTreeMap::new();
    for &(name, id) in &parameters.named {
        match View::of(&pickle, id).map_err(|message| format!("tensor `{}`: {message}", shown(name)))? {
            Ok((storage, view)) => views.entry(storage).or_default().push((name, view)),
            Err(kind) => drop(checkpoint.unread.insert(name.to_owned(), kind)),
        }
    }
    archive.check(&views)?;
    for (key, views) in views {
        let entry = format!("data/{key}");
        let storage = archive.read(&entry, u64::MAX)?;
        for (name, view) in views {
            if storage.len() / view.element.size() != view.stored {
                return Err(format!(
                    "tensor `{}`: its storage `{}` has {} bytes; expected {} values of {} bytes",
                    shown(name),
                    shown(&entry),
                    storage.len(),
                    view.stored,
                    view.element.size()
                ));
            }
            let values = view.element.decode(&storage, view.indices());
            checkpoint.insert(name, Tensor { shape: view.shape, values })?;
        }
    }
    checkpoint.order = parameters.named.iter().map(|(name, _)| (*name).to_owned()).collect();
    checkpoint.numbers = parameters.numbers.iter().map(|(name, value)| (name.to_string(), *value)).collect();
    checkpoint.notices.extend(parameters.notice);
    Ok(checkpoint)
}

/// What of a pickle is the network's.
struct Parameters<'p> {
    /// Tensors, and what stands in their places.
    named: Vec<(&'p str, Id)>,
    /// Plain numbers beside them, or beside their dictionary: a script may keep the neurons' constants there.
    numbers: Vec<(&'p str, f64)>,
    /// Where they were found, if nobody said so.
    notice: Option<String>,
}

impl<'p> Parameters<'p> {
    fn of(pickle: &'p Pickle, key: Option<&str>) -> Result<Self, String> {
        let all = dictionaries(pickle);
        let listed = || {
            let one = |(path, _, count): &(String, Id, usize)| {
                format!("`{}` ({count} tensors)", if path.is_empty() { "the top" } else { path })
            };
            all.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let found = |path: &str| all.iter().find(|(other, ..)| other == path);
        if let Some(key) = key {
            let Some((_, id, _)) = found(key) else {
                let there = if all.is_empty() { keys(pickle) } else { listed() };
                return Err(format!("nothing of the key `{}` holds tensors; it has {there}", shown(key)));
            };
            return Ok(Self::at(pickle, *id, None));
        }
        if let Some((_, id, _)) = WRAPPERS.iter().find_map(|wrapper| found(wrapper)).or_else(|| found("")) {
            return Ok(Self::at(pickle, *id, None));
        }
        match all.as_slice() {
            [(path, id, _)] => Ok(Self::at(pickle, *id, Some(format!("the weights are those under `{path}`")))),
            [] => Err(nothing(pickle)),
            _ => Err(format!("tensors under several keys: {}; choose one with --key", listed())),
        }
    }

    fn at(pickle: &'p Pickle, id: Id, notice: Option<String>) -> Self {
        let is_tensor =
            |id: &Id| matches!(pickle.get(*id), Object::Tensor { .. } | Object::Opaque(_) | Object::Unread(_));
        let number = |(name, id): (&'p str, Id)| match pickle.get(id) {
            Object::Real(value) => Some((name, *value)),
            Object::Int(value) => Some((name, *value as f64)),
            _ => None,
        };
        let beside = pickle.entries(pickle.root).filter(|_| id != pickle.root);
        Parameters {
            named: pickle.entries(id).filter(|(_, id)| is_tensor(id)).collect(),
            numbers: pickle.entries(id).chain(beside).filter_map(number).collect(),
            notice,
        }
    }
}

/// The dictionaries of tensors down to the second below the top: dotted keys, and how many tensors are in each. One
/// that stands in several places is listed at the first, so that a small file takes no more time and memory than its
/// objects do.
fn dictionaries(pickle: &Pickle) -> Vec<(String, Id, usize)> {
    let mut seen = HashSet::from([pickle.root]);
    let mut below = |path: &str, id: Id| -> Vec<(String, Id)> {
        let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let dicts = pickle.entries(id).filter(|(_, id)| matches!(pickle.get(*id), Object::Dict(_)));
        dicts.filter(|(_, id)| seen.insert(*id)).map(|(key, id)| (join(&shown(key)), id)).collect()
    };
    let first = below("", pickle.root);
    let second = first.iter().flat_map(|(path, id)| below(path, *id)).collect::<Vec<_>>();
    let all = [vec![(String::new(), pickle.root)], first, second].concat();
    let counted = all.into_iter().map(|(path, id)| {
        let tensors = pickle.entries(id).filter(|(_, id)| matches!(pickle.get(*id), Object::Tensor { .. })).count();
        (path, id, tensors)
    });
    counted.filter(|(_, _, tensors)| *tensors > 0).take(64).collect()
}

/// What to say of a file without tensors by name.
fn nothing(pickle: &Pickle) -> String {
    match pickle.get(pickle.root) {
        Object::Opaque(_) => format!(
            "a whole object, {}, of which nothing is executed; save its weights: torch.save(model.state_dict(), …)",
            pickle.kind(pickle.root)
        ),
        Object::Tensor { .. } | Object::List(_) | Object::Tuple(_) => {
            format!(
                "{} without names; expected a dictionary of tensors: torch.save(model.state_dict(), …)",
                pickle.kind(pickle.root)
            )
        }
        _ => {
            format!(
                "no tensors by name, neither at the top nor under {}; its keys: {}",
                WRAPPERS.join(", "),
                keys(pickle)
            )
        }
    }
}

fn keys(pickle: &Pickle) -> String {
    let keys: Vec<String> = pickle.entries(pickle.root).take(8).map(|(key, _)| shown(key)).collect();
    format!("[{}]", keys.join(", "))
}

/// A strided view of a storage, known to lie within it.
struct View {
    element: Element,
    /// Values in the storage.
    stored: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Values in the view.
    count: usize,
}

impl View {
    /// The key of the storage and the view that the tensor `id` is; what it is, where its values are not read.
    fn of(pickle: &Pickle, id: Id) -> Result<Result<(&str, Self), String>, String> {
        let &Object::Tensor { storage, offset, shape, strides, element: stated } = pickle.get(id) else {
            return Ok(Err(pickle.kind(id)));
        };
        let &Object::Storage { key, kind, count: stored } = pickle.get(storage) else {
            return Ok(Err("a tensor without a storage".into()));
        };
        let (Some(key), Some(super::pickle::PickleGlobal::Storage(element, name))) =
            (pickle.text(key), pickle.global(kind))
        else {
            return Err("no storage".into());
        };
        let Some(element) = stated.or(*element) else { return Ok(Err(format!("a tensor of `{name}`"))) };
        // A storage without a type of its own counts bytes.
        let stored = if stated.is_some() { stored / element.size() } else { stored };
        let shape = pickle.sizes(shape).ok_or("its shape is no tuple of sizes")?;
        let strides = pickle.sizes(strides).ok_or("its strides are no tuple of sizes")?;
        if shape.len() != strides.len() || shape.len() > DIMENSIONS {
            return Err(format!("it has {} dimensions and {} strides", shape.len(), strides.len()));
        }
        let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (&extent, &stride)| {
            last.checked_add(extent.saturating_sub(1).checked_mul(stride)?)
        });
        match (count, last) {
            (Some(count), Some(last)) if count == 0 || last < stored => {
                Ok(Ok((key, Self { element, stored, offset, shape, strides, count })))
            }
            _ => Err(format!(
                "shape {shape:?} with strides {strides:?} from {offset} does not fit its storage of {stored} values"
            )),
        }
    }

    /// The places in the storage of the view's values, row-major. Arithmetic wraps because the step past the last
    /// place of an axis may leave the numbers, and is taken back at once.
    fn indices(&self) -> impl Iterator<Item = usize> {
        let mut position = vec![0; self.shape.len()];
        let mut index = self.offset;
        (0..self.count).map(move |_| {
            let current = index;
            for axis in (0..position.len()).rev() {
                position[axis] += 1;
                index = index.wrapping_add(self.strides[axis]);
                if position[axis] < self.shape[axis] {
                    break;
                }
                index = index.wrapping_sub(position[axis].wrapping_mul(self.strides[axis]));
                position[axis] = 0;
            }
            current
        })
    }
}

/// The zip archive and the folder within it that holds everything.
struct PytorchArchive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
    /// Bytes of the file.
    len: u64,
}

impl<'a> PytorchArchive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("damaged zip file: {error}"))?;
        let has = |end: &str| zip.file_names().any(|name| name.ends_with(end));
        let folder = zip.file_names().find_map(|name| name.strip_suffix("/data.pkl")).ok_or(match () {
            () if has(".npy") => "a NumPy archive; expected weights, in a PyTorch or safetensors file",
            () => "a zip file without data.pkl: not written by torch.save",
        })?;
        if has("/constants.pkl") {
            return Err(
                "a TorchScript archive, which is a program; save its weights: torch.save(model.state_dict(), …)".into(),
            );
        }
        Ok(Self { folder: folder.to_owned(), zip, len: bytes.len() as u64 })
    }

    fn size(&mut self, entry: &str) -> Option<[u64; 2]> {
        let index = self.zip.index_for_name(&format!("{}/{entry}", self.folder))?;
        self.zip.by_index_raw(index).ok().map(|entry| [entry.compressed_size(), entry.size()])
    }

    /// An error where the storages do not lie in the file, or the views hold more than they do, or than there is memory
    /// for.
    fn check(&mut self, views: &BTreeMap<&str, Vec<(&str, View)>>) -> Result<(), String> {
        let (mut packed, mut whole) = (0u64, 0u64);
        for key in views.keys() {
            let [compressed, size] = self.size(&format!("data/{key}")).unwrap_or_default();
            (packed, whole) = (packed.saturating_add(compressed), whole.saturating_add(size));
        }
        if packed > self.len {
            return Err("its storages overlap".into());
        }
        let values = views.values().flatten().fold(0, |sum: u64, (_, view)| sum.saturating_add(view.count as u64));
        if values > whole.max(1) {
            return Err("more values are described than its storages have bytes".into());
        }
        let needed = whole.saturating_add(values.saturating_mul(4));
        memory::check("reading it", needed, "keep the weights alone in the file").map_err(|error| error.to_string())
    }

    /// The bytes of an entry, whose checksum must hold where there is one.
    fn read(&mut self, entry: &str, limit: u64) -> Result<Vec<u8>, String> {
        let refuse = |reason: String| format!("zip entry `{}`: {reason}", shown(entry));
        let name = format!("{}/{entry}", self.folder);
        let index = self.zip.index_for_name(&name).ok_or_else(|| refuse("is missing".into()))?;
        let mut file = self.zip.by_index_raw(index).map_err(|error| refuse(error.to_string()))?;
        let (compressed, size, checksum) = (file.compressed_size(), file.size(), file.crc32());
        if size > limit {
            return Err(refuse(format!("has {size} bytes; at most {limit} are read")));
        }
        let method = file.compression();
        let most = match method {
            CompressionMethod::Stored => compressed,
            CompressionMethod::Deflated => compressed.saturating_mul(DEFLATE_RATIO),
            other => return Err(refuse(format!("is compressed by {other}; expected none, or deflate"))),
        };
        if size > most || compressed > self.len {
            return Err(refuse(format!("declares {size} bytes in {compressed}, which cannot be")));
        }
        let mut bytes = Vec::new();
        let read = match method {
            CompressionMethod::Deflated => DeflateDecoder::new(&mut file).take(size + 1).read_to_end(&mut bytes),
            _ => file.by_ref().take(size + 1).read_to_end(&mut bytes),
        };
        read.map_err(|error| refuse(error.to_string()))?;
        if bytes.len() as u64 != size {
            return Err(refuse(format!("holds {} bytes, not the {size} that it declares", bytes.len())));
        }
        let mut found = Crc::new();
        found.update(&bytes);
        // Some tools that write such files in a stream record no checksum.
        if checksum != 0 && found.sum() != checksum {
            return Err(refuse("is damaged: its checksum does not hold".into()));
        }
        Ok(bytes)
    }
}
