//! What a pickle may build: plain data, and descriptions of tensors.
//!
//! A pickle can name any function or class of Python; here the few that `torch.save` needs for tensors are known, and
//! every other one is an error. Objects live in one list and refer to each other by index, so neither a cycle nor deep
//! nesting does harm.

use super::element::Element;
use super::shown;

/// The index of an object in [`Pickle::objects`].
pub(super) type Id = usize;

/// What a pickle can build.
pub(super) enum Object {
    None,
    /// Booleans, floats, lists, and integers beyond 64 bits: nothing of them is used.
    Other,
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or class that may be named.
    Global(Global),
    /// One of the file's `data/KEY` entries.
    Storage {
        key: String,
        element: Element,
        count: usize,
    },
    /// A view of a storage; `shape` and `strides` are tuples of integers.
    Tensor {
        storage: Id,
        offset: usize,
        shape: Id,
        strides: Id,
    },
}

/// The functions and classes that a pickle may name.
#[derive(Clone, Copy)]
pub(super) enum Global {
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    Storage(Element),
}

impl Global {
    /// The one called `module.name`, if it is known.
    pub fn named(module: &str, name: &str) -> Result<Self, String> {
        Ok(match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch", "DoubleStorage") => Global::Storage(Element::F64),
            ("torch", "FloatStorage") => Global::Storage(Element::F32),
            ("torch", "HalfStorage") => Global::Storage(Element::F16),
            ("torch", "BFloat16Storage") => Global::Storage(Element::Bf16),
            ("torch", "LongStorage") => Global::Storage(Element::I64),
            ("torch", "IntStorage") => Global::Storage(Element::I32),
            ("torch", "ByteStorage") => Global::Storage(Element::U8),
            ("torch", "BoolStorage") => Global::Storage(Element::Bool),
            _ => {
                let name = shown(&format!("{module}.{name}"));
                return Err(format!(
                    "the pickle asks to call `{name}`; only tensors are read, nothing is executed \
                     (a file saved with torch.save(model.state_dict(), …) holds nothing else)"
                ));
            }
        })
    }
}

/// The objects of a pickle and which of them is the result; every [`Id`] within is valid.
#[derive(Default)]
pub(super) struct Pickle {
    pub objects: Vec<Object>,
    pub root: Id,
}

impl Pickle {
    pub fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    /// The entries of a dictionary whose keys are text; none for any other object.
    pub fn entries(&self, id: Id) -> impl Iterator<Item = (&str, Id)> {
        let items: &[(Id, Id)] = if let Object::Dict(items) = self.get(id) { items } else { &[] };
        items.iter().filter_map(|&(key, value)| match self.get(key) {
            Object::Text(key) => Some((key.as_str(), value)),
            _ => None,
        })
    }

    /// A tuple of integers none of which is negative.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let Object::Tuple(items) = self.get(id) else { return None };
        items.iter().map(|&item| self.size(item)).collect()
    }

    /// An integer that is not negative.
    pub fn size(&self, id: Id) -> Option<usize> {
        if let Object::Int(value) = *self.get(id) { value.try_into().ok() } else { None }
    }
}
