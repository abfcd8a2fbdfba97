//! The stack machine that runs a pickle, and can do nothing else than build the objects of [`super::pickle`].
//!
//! A hostile program takes no more memory than a fixed multiple of its own length: each opcode adds at most one
//! object, and nothing recurses. Opcodes: CPython's `Lib/pickletools.py`, protocol 2, which `torch.save` writes.

use std::collections::HashMap;

use super::pickle::{Global, Id, Object, Pickle};

/// Runs the program `bytes`.
pub(super) fn run(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine { rest: bytes, ..Machine::default() };
    loop {
        let position = bytes.len() - machine.rest.len();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok(Pickle { root, ..machine.built }),
            Err(message) => return Err(format!("data.pkl, byte {position}: {message}")),
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    built: Pickle,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Executes one opcode; at the last one returns the result.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [opcode] = self.array()?;
        match opcode {
            0x80 => match self.array()? {
                [0..=2] => {}
                [protocol] => return Err(format!("pickle protocol {protocol}; torch.save writes protocol 2")),
            },
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'q' | b'r' => {
                let slot = self.number(opcode == b'q')?;
                let &top = self.stack.last().ok_or("nothing to remember")?;
                self.memo.insert(slot, top);
            }
            b'h' | b'j' => {
                let slot = self.number(opcode == b'h')?;
                let &id = self.memo.get(&slot).ok_or("nothing remembered under this number")?;
                self.stack.push(id);
            }
            b'a' => drop(self.pop()?),
            b'e' => drop(self.pop_to_mark()?),
            b's' => {
                let items = self.pop_last(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'b' => self.build()?,
            b'R' => self.reduce()?,
            _ => {
                let object = self.object(opcode)?;
                self.push(object);
            }
        }
        Ok(None)
    }

    /// The object that an opcode puts on the stack.
    fn object(&mut self, opcode: u8) -> Result<Object, String> {
        Ok(match opcode {
            b'N' => Object::None,
            0x88 | 0x89 | b']' => Object::Other,
            b'G' => self.take(8).map(|_| Object::Other)?,
            b'J' => Object::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Object::Int(u8::from_le_bytes(self.array()?).into()),
            b'M' => Object::Int(u16::from_le_bytes(self.array()?).into()),
            0x8a | 0x8b => {
                let length = self.length(opcode == 0x8a)?;
                self.take(length).map(integer)?
            }
            b'X' | b'T' | b'U' => {
                let length = self.length(opcode == b'U')?;
                let text = std::str::from_utf8(self.take(length)?).map_err(|_| "text that is not UTF-8")?;
                Object::Text(text.to_owned())
            }
            b'}' => Object::Dict(Vec::new()),
            b')' => Object::Tuple(Vec::new()),
            b't' => Object::Tuple(self.pop_to_mark()?),
            0x85..=0x87 => Object::Tuple(self.pop_last(usize::from(opcode - 0x84))?),
            b'c' => Object::Global(Global::named(&self.line()?, &self.line()?)?),
            b'Q' => self.persistent()?,
            _ => return Err(format!("opcode {opcode:#04x} has no use in a file of tensors")),
        })
    }

    /// `GLOBAL` gave a function, a tuple its arguments: the three known calls.
    fn reduce(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let (Object::Global(function), Object::Tuple(arguments)) =
            (self.built.get(function), self.built.get(arguments))
        else {
            return Err("a call of something that is no function".into());
        };
        match (function, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(Object::Dict(Vec::new())),
            (Global::RebuildParameter, &[tensor, ..]) => self.stack.push(tensor),
            (Global::RebuildTensor, &[storage, offset, shape, strides, _, _, ref rest @ ..]) => {
                if rest.iter().any(|&id| !matches!(self.built.get(id), Object::None)) {
                    return Err("a tensor with special properties (conjugate or negative view)".into());
                }
                let offset = self.built.size(offset).ok_or("the offset of a tensor is no size")?;
                self.push(Object::Tensor { storage, offset, shape, strides });
            }
            _ => return Err("a call with unexpected arguments".into()),
        }
        Ok(())
    }

    /// `('storage', type, key, location, count)` becomes a storage.
    fn persistent(&mut self) -> Result<Object, String> {
        let id = self.pop()?;
        if let Object::Tuple(fields) = self.built.get(id)
            && let &[tag, kind, key, _, count] = fields.as_slice()
            && let Object::Text(tag) = self.built.get(tag)
            && tag == "storage"
            && let Object::Global(Global::Storage(element)) = *self.built.get(kind)
            && let Object::Text(key) = self.built.get(key)
            && let Some(count) = self.built.size(count)
        {
            Ok(Object::Storage { key: key.clone(), element, count })
        } else {
            Err("a reference to something that is no storage".into())
        }
    }

    /// Adds keys and values, alternating, to the dictionary on top of the stack.
    fn set_items(&mut self, items: &[Id]) -> Result<(), String> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.stack.last().and_then(|&id| self.built.objects.get_mut(id)) {
            Some(Object::Dict(entries)) if rest.is_empty() => {
                entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err("entries without a dictionary, or a key without a value".into()),
        }
    }

    /// Attributes are set on an object; those of a dictionary (PyTorch's `_metadata`) have no use here.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.stack.last().map(|&id| self.built.get(id)) {
            Some(Object::Dict(_)) => Ok(()),
            _ => Err("attributes of something that is no dictionary".into()),
        }
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.built.objects.len());
        self.built.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.pop_last(1).map(|ids| ids[0])
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= floor => Ok(self.stack.drain(height..).collect()),
            _ => Err("the stack is empty".into()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let height = self.marks.pop().ok_or("no mark")?;
        Ok(self.stack.drain(height..).collect())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("the pickle ends early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("the pickle ends early")?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length or the number of a memo slot, in one byte or four.
    fn number(&mut self, short: bool) -> Result<u32, String> {
        if short { self.array().map(|[slot]| slot.into()) } else { self.array().map(u32::from_le_bytes) }
    }

    fn length(&mut self, short: bool) -> Result<usize, String> {
        usize::try_from(self.number(short)?).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let length = self.rest.iter().position(|&byte| byte == b'\n').ok_or("the pickle ends early")?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}

/// A little-endian integer in two's complement; those beyond 64 bits are of no use.
fn integer(bytes: &[u8]) -> Object {
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Object::Int(i64::from_le_bytes(wide))
        }
        None => Object::Other,
    }
}
