//! PyTorch's zip format: a pickle `NAME/data.pkl` that describes the tensors, and an entry `NAME/data/KEY` for the
//! bytes of each storage, of which tensors are strided views.
//!
//! Sizes are held against each other before anything is allocated: entries are not compressed, so they lie within the
//! file, and all tensors together may hold no more values than the file has bytes.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::element::Element;
use super::pickle::{Id, Object, Pickle};
use super::{Checkpoint, Tensor, machine, shown};

/// The largest `data.pkl` read, in bytes; a tensor takes about 120.
const PICKLE_LIMIT: u64 = 16 << 20;

/// The most dimensions a tensor has in PyTorch.
const DIMENSIONS: usize = 64;

/// Keys under which training scripts put the parameters beside an epoch, an accuracy or an optimizer.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Reads a PyTorch file.
pub(super) fn parse(bytes: &[u8]) -> Result<Checkpoint, String> {
    let mut archive = Archive::open(bytes)?;
    if archive.size("byteorder").is_some() && archive.read("byteorder", 16)? != b"little" {
        return Err("its byte order is not little-endian; save it on a little-endian machine".into());
    }
    let pickle = machine::run(&archive.read("data.pkl", PICKLE_LIMIT)?)?;

    let mut views: BTreeMap<&str, Vec<(&str, View)>> = BTreeMap::new();
    let mut values = 0usize;
    for (name, id) in parameters(&pickle)? {
        let in_tensor = |message| format!("tensor `{}`: {message}", shown(name));
        let (storage, view) = View::of(&pickle, id).map_err(in_tensor)?;
        values = values.saturating_add(view.count);
        if values > bytes.len() {
            return Err(in_tensor("more values are described than the file has bytes".into()));
        }
        views.entry(storage).or_default().push((name, view));
    }

    let mut checkpoint = Checkpoint::default();
    let mut storages = 0u64;
    for (key, views) in views {
        let entry = format!("data/{key}");
        storages = storages.saturating_add(archive.size(&entry).unwrap_or(0));
        if storages > bytes.len() as u64 {
            return Err("its storages overlap".into());
        }
        let storage = archive.read(&entry, bytes.len() as u64)?;
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
    Ok(checkpoint)
}

/// The named tensors of the file: those under one of [`WRAPPERS`], if it is a dictionary of tensors, else the top ones.
fn parameters(pickle: &Pickle) -> Result<Vec<(&str, Id)>, String> {
    let tensors = |id| -> Vec<(&str, Id)> {
        pickle.entries(id).filter(|&(_, id)| matches!(pickle.get(id), Object::Tensor { .. })).collect()
    };
    let wrapped = WRAPPERS
        .iter()
        .filter_map(|&wrapper| pickle.entries(pickle.root).find(|&(key, _)| key == wrapper).map(|(_, id)| tensors(id)));
    wrapped.chain([tensors(pickle.root)]).find(|found| !found.is_empty()).ok_or_else(|| {
        let keys: Vec<String> = pickle.entries(pickle.root).take(8).map(|(key, _)| shown(key)).collect();
        format!(
            "no tensors by name, neither at the top nor under {}; its keys: [{}]",
            WRAPPERS.join(", "),
            keys.join(", ")
        )
    })
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
    /// The key of the storage and the view that the tensor `id` is.
    fn of(pickle: &Pickle, id: Id) -> Result<(&str, Self), String> {
        let &Object::Tensor { storage, offset, shape, strides } = pickle.get(id) else {
            return Err("no tensor".into());
        };
        let &Object::Storage { ref key, element, count: stored } = pickle.get(storage) else {
            return Err("no storage".into());
        };
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
                Ok((key, Self { element, stored, offset, shape, strides, count }))
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
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("damaged zip file: {error}"))?;
        let folder = (zip.file_names().find_map(|name| name.strip_suffix("/data.pkl")))
            .ok_or("a zip file without data.pkl: not written by torch.save")?
            .to_owned();
        Ok(Self { zip, folder })
    }

    fn size(&mut self, entry: &str) -> Option<u64> {
        let index = self.zip.index_for_name(&format!("{}/{entry}", self.folder))?;
        self.zip.by_index_raw(index).ok().map(|entry| entry.size())
    }

    /// The bytes of an entry, whose checksum must hold.
    fn read(&mut self, entry: &str, limit: u64) -> Result<Vec<u8>, String> {
        let refuse = |reason: String| format!("zip entry `{}`: {reason}", shown(entry));
        let mut file =
            self.zip.by_name(&format!("{}/{entry}", self.folder)).map_err(|error| refuse(error.to_string()))?;
        if file.compression() != CompressionMethod::Stored {
            return Err(refuse("is compressed, which torch.save never does".into()));
        }
        if file.size() > limit {
            return Err(refuse(format!("has {} bytes; at most {limit} are read", file.size())));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
        Ok(bytes)
    }
}
