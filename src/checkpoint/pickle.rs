//! What a pickle may build: plain data, descriptions of tensors, and objects of which nothing but the class is known.
//!
//! A pickle can name any function or class of Python; here the few that `torch.save` needs for tensors mean something,
//! and every other one gives an opaque object: nothing is called. Objects live in one list and refer to each other by
//! index, so neither a cycle nor deep nesting does harm.

use super::element::Element;
use super::shown;

/// The index of an object in [`Pickle::objects`].
pub(super) type Id = usize;

/// Bytes of the longest name of a function or class that is looked at.
const LONGEST_NAME: usize = 256;

/// What a pickle can build.
pub(super) enum Object {
    None,
    /// Booleans, bytes, and integers beyond 64 bits: nothing of them is used.
    Other,
    Int(i64),
    Real(f64),
    Text(String),
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or class.
    Global(PickleGlobal),
    /// One of the file's `data/KEY` entries: a text, and the [`Object::Global`] that is its type.
    Storage {
        key: Id,
        kind: Id,
        count: usize,
    },
    /// A view of a storage; `shape` and `strides` are tuples of integers. Its values are `element`s, or those of the
    /// storage.
    Tensor {
        storage: Id,
        offset: usize,
        shape: Id,
        strides: Id,
        element: Option<Element>,
    },
    /// An object of a function or class that is not known, an [`Object::Global`].
    Opaque(Id),
    /// A tensor in a form that is not read.
    Unread(&'static str),
}

/// The functions and classes that a pickle may name.
pub(super) enum PickleGlobal {
    RebuildTensor,
    /// The form that also says what type its values are of.
    RebuildTypedTensor,
    /// A parameter, with or without attributes of its own.
    RebuildParameter,
    Dict,
    /// Behind it comes what makes missing entries.
    DefaultDict,
    /// The extents of a tensor: a tuple.
    Size,
    /// A type of storage; what its values are, if they are read.
    Storage(Option<Element>, String),
    /// A type of values, likewise.
    Type(Option<Element>, String),
    /// Any other.
    Unknown(String),
}

impl PickleGlobal {
    /// The one called `module.name`.
    pub fn named(module: &str, name: &str) -> Self {
        if module.len() + name.len() > LONGEST_NAME {
            return PickleGlobal::Unknown("object with an endless name".into());
        }
        let full = || shown(&format!("{module}.{name}"));
        match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => PickleGlobal::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => PickleGlobal::RebuildTypedTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => PickleGlobal::RebuildParameter,
            ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => PickleGlobal::Dict,
            ("collections", "defaultdict") => PickleGlobal::DefaultDict,
            ("torch", "Size") => PickleGlobal::Size,
            ("torch", name) if name.ends_with("Storage") => PickleGlobal::Storage(Element::of_storage(name), full()),
            ("torch.storage", "UntypedStorage") => PickleGlobal::Storage(Some(Element::U8), full()),
            ("torch", name) if Element::is_type(name) => PickleGlobal::Type(Element::of_type(name), full()),
            _ => PickleGlobal::Unknown(full()),
        }
    }

    /// Its full name, where it is not one of those that tensors need.
    pub fn name(&self) -> &str {
        match self {
            PickleGlobal::Storage(_, name) | PickleGlobal::Type(_, name) | PickleGlobal::Unknown(name) => name,
            _ => "torch",
        }
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
        items.iter().filter_map(|&(key, value)| Some((self.text(key)?, value)))
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        if let Object::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub fn global(&self, id: Id) -> Option<&PickleGlobal> {
        if let Object::Global(global) = self.get(id) { Some(global) } else { None }
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

    /// What an object is, in words.
    pub fn kind(&self, id: Id) -> String {
        match self.get(id) {
            Object::Opaque(class) => format!("a `{}`", self.global(*class).map_or("object", PickleGlobal::name)),
            Object::Unread(what) => (*what).into(),
            Object::Tensor { .. } => "a tensor".into(),
            Object::Dict(_) => "a dictionary".into(),
            Object::List(_) | Object::Tuple(_) => "a list".into(),
            _ => "plain data".into(),
        }
    }
}
