//! Python's values as TOML, and JSON as Python's values.

use std::path::Path;

use crosspike::Document;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::errors::raise;

/// A value of a key.
fn toml(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Integer(value.extract()?));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Value::String(value.extract()?));
    }
    if let Some(dict) = mapping(value)? {
        return table(&dict).map(Value::Table);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return value.try_iter()?.map(|item| toml(&item?)).collect::<PyResult<_>>().map(Value::Array);
    }
    // NumPy's scalars and arrays, and paths.
    if value.hasattr("tolist")? {
        return toml(&value.call_method0("tolist")?);
    }
    if value.hasattr("__fspath__")? {
        return toml(&value.call_method0("__fspath__")?);
    }
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "{value} is a {kind}; expected a number, a text, a bool, or a list or dict of these"
    )))
}

fn table(dict: &Bound<'_, PyDict>) -> PyResult<Table> {
    // What is None is absent, as Profile.to_dict() has it.
    let there = dict.iter().filter(|(_, value)| !value.is_none());
    there.map(|(key, value)| Ok((key.extract::<String>()?, toml(&value)?))).collect()
}

/// The dict that a mapping is; none of what is no mapping.
pub fn mapping<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(Some(dict.clone()));
    }
    match value.cast::<PyMapping>() {
        Ok(mapping) => {
            let dict = PyDict::new(value.py());
            dict.update(mapping)?;
            Ok(Some(dict))
        }
        Err(_) => Ok(None),
    }
}

/// Puts a value at a dotted key; sections are joined, and their keys may be dotted too.
fn put(table: &mut Table, key: &str, value: Value) -> PyResult<()> {
    let twice = || Err(PyValueError::new_err(format!("`{key}` is there twice; expected each key once")));
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    match (rest, value) {
        (None, Value::Table(section)) => match table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(within) => section.into_iter().try_for_each(|(key, value)| put(within, &key, value)),
            _ => twice(),
        },
        (None, value) => match table.insert(first.into(), value) {
            None => Ok(()),
            Some(_) => twice(),
        },
        (Some(rest), value) => match table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(within) => put(within, rest, value),
            _ => twice(),
        },
    }
}

/// A document of a dict; `name` stands for its file in messages.
pub fn document(name: &str, dict: &Bound<'_, PyDict>) -> PyResult<Document> {
    of_table(name, &table(dict)?)
}

/// A document of a dict of sections, whose keys may be dotted: `{"rram.weight_bits": 4}` is `{"rram": {"weight_bits":
/// 4}}`.
pub fn sections(name: &str, dict: &Bound<'_, PyDict>) -> PyResult<Document> {
    let mut nested = Table::new();
    table(dict)?.into_iter().try_for_each(|(key, value)| put(&mut nested, &key, value))?;
    of_table(name, &nested)
}

fn of_table(name: &str, table: &Table) -> PyResult<Document> {
    let text = toml::to_string(table).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Document::parse_text(Path::new(name), text).map_err(raise)
}

/// The assignments `key=value` of a mapping of overrides; `None` takes a key away.
pub fn assignments(set: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    let of = |(key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let key: String = key.extract()?;
        Ok(if value.is_none() { format!("{key}=") } else { format!("{key}={}", toml(&value)?) })
    };
    set.map_or(Ok(vec![]), |set| overrides(set)?.iter().map(of).collect())
}

/// The assignments of a mapping in which a section is the overrides of its keys: `{"rram": {"weight_bits": 4}}` leaves
/// the section's other keys alone.
pub fn assignments_of_sections(set: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    fn add(prefix: &str, dict: &Bound<'_, PyDict>, all: &mut Vec<String>) -> PyResult<()> {
        for (key, value) in dict.iter() {
            let key = format!("{prefix}{}", key.extract::<String>()?);
            match mapping(&value)? {
                Some(section) if !section.is_empty() => add(&format!("{key}."), &section, all)?,
                _ if value.is_none() => all.push(format!("{key}=")),
                _ => all.push(format!("{key}={}", toml(&value)?)),
            }
        }
        Ok(())
    }
    let mut all = vec![];
    set.map_or(Ok(()), |set| add("", &overrides(set)?, &mut all))?;
    Ok(all)
}

fn overrides<'py>(set: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    mapping(set)?.ok_or_else(|| PyTypeError::new_err(format!("set={set}: expected a dict of keys and values")))
}

/// A path, or a shipped name.
pub fn text_of(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if value.hasattr("__fspath__")? { value.call_method0("__fspath__")?.extract() } else { value.extract() }
}

/// JSON as dicts, lists and numbers.
pub fn python<'py>(py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
    Ok(match json {
        Json::Null => py.None().into_bound(py),
        Json::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Json::Number(value) => match value.as_i64() {
            Some(whole) => whole.into_pyobject(py)?.into_any(),
            None => value.as_f64().into_pyobject(py)?.into_any(),
        },
        Json::String(value) => value.into_pyobject(py)?.into_any(),
        Json::Array(values) => {
            let items = values.iter().map(|value| python(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Json::Object(map) => {
            let dict = PyDict::new(py);
            map.iter().try_for_each(|(key, value)| dict.set_item(key, python(py, value)?))?;
            dict.into_any()
        }
    })
}

/// A callable and its arguments, which pickle makes an object of again.
pub type Pickled<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// One of some names, or an error that lists them.
pub fn one_of<T: Copy>(name: &str, value: &str, known: &[(&str, T)]) -> PyResult<T> {
    let found = known.iter().find(|(known, _)| *known == value).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let known: Vec<String> = known.iter().map(|(known, _)| format!("\"{known}\"")).collect();
        PyValueError::new_err(format!("{name}=\"{value}\": expected {}", known.join(", ")))
    })
}
