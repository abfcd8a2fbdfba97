//! The stack machine that runs a pickle, and can do nothing else than build the objects of [`super::pickle`].
//!
//! A hostile program takes no more memory than a fixed multiple of its own length: each opcode adds at most one object,
//! and nothing recurses. No crate stands in for it: serde-pickle 1.2 has values neither for the persistent ids by which
//! `torch.save` names its tensors nor for objects of unknown classes. Opcodes: CPython's `Lib/pickletools.py`, of every
//! protocol from 0 to 5.

use std::collections::HashMap;

use super::pickle::{Id, Object, Pickle, PickleGlobal};

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
                [0..=5] => {}
                [protocol] => return Err(format!("pickle protocol {protocol}; expected 0 to 5")),
            },
            // A frame: bytes that are read together.
            0x95 => drop(self.take(8)?),
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'p' | b'q' | b'r' => {
                let slot = if opcode == b'p' { self.decimal()? } else { self.number(opcode == b'q')? };
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            0x94 => {
                let slot = u32::try_from(self.memo.len()).map_err(|error| error.to_string())?;
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            b'g' | b'h' | b'j' => {
                let slot = if opcode == b'g' { self.decimal()? } else { self.number(opcode == b'h')? };
                let &id = self.memo.get(&slot).ok_or("nothing remembered under this number")?;
                self.stack.push(id);
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_last(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            // Attributes of an object, such as PyTorch's `_metadata` of a dictionary, have no use here.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'R' | 0x81 => {
                let [class, arguments] = self.pop_array()?;
                self.call(class, arguments)?;
            }
            0x92 => {
                let [class, arguments, _] = self.pop_array()?;
                self.call(class, arguments)?;
            }
            b'o' => {
                let items = self.pop_to_mark()?;
                let (&class, arguments) = items.split_first().ok_or("an object of no class")?;
                self.push(Object::Tuple(arguments.to_vec()));
                let arguments = self.pop()?;
                self.call(class, arguments)?;
            }
            b'i' => {
                let global = PickleGlobal::named(&self.line()?, &self.line()?);
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
                self.push(Object::Global(global));
                let [arguments, class] = self.pop_array()?;
                self.call(class, arguments)?;
            }
            // A buffer that is read only.
            0x98 => drop(self.top()?),
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
            0x88 | 0x89 => Object::Other,
            b'G' => Object::Real(f64::from_be_bytes(self.array()?)),
            b'F' => Object::Real(self.line()?.trim().parse().map_err(|_| "a float that is none")?),
            b'J' => Object::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Object::Int(u8::from_le_bytes(self.array()?).into()),
            b'M' => Object::Int(u16::from_le_bytes(self.array()?).into()),
            // `I01` and `I00` are booleans.
            b'I' | b'L' => match self.line()?.trim().trim_end_matches('L') {
                "01" | "00" => Object::Other,
                digits => digits.parse().map_or(Object::Other, Object::Int),
            },
            0x8a | 0x8b => {
                let length = self.length(if opcode == 0x8a { 1 } else { 4 })?;
                self.take(length).map(integer)?
            }
            b'X' | b'T' | b'U' | 0x8c | 0x8d => {
                let length = self.length(match opcode {
                    b'U' | 0x8c => 1,
                    0x8d => 8,
                    _ => 4,
                })?;
                text(self.take(length)?)
            }
            b'V' => text(self.line()?.as_bytes()),
            b'S' => text(self.line()?.trim().trim_matches(['\'', '"']).as_bytes()),
            b'B' | b'C' | 0x8e | 0x96 => {
                let length = self.length(match opcode {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                })?;
                self.take(length).map(|_| Object::Other)?
            }
            // Extensions of the registry, and buffers that lie elsewhere.
            0x82 => self.take(1).map(|_| Object::Other)?,
            0x83 => self.take(2).map(|_| Object::Other)?,
            0x84 => self.take(4).map(|_| Object::Other)?,
            0x97 => Object::Other,
            b'}' => Object::Dict(Vec::new()),
            b'd' => {
                let items = self.pop_to_mark()?;
                Object::Dict(pairs(&items)?)
            }
            b']' | 0x8f => Object::List(Vec::new()),
            b'l' | 0x91 => Object::List(self.pop_to_mark()?),
            b')' => Object::Tuple(Vec::new()),
            b't' => Object::Tuple(self.pop_to_mark()?),
            0x85..=0x87 => Object::Tuple(self.pop_last(usize::from(opcode - 0x84))?),
            b'c' => Object::Global(PickleGlobal::named(&self.line()?, &self.line()?)),
            0x93 => {
                let [module, name] = self.pop_array()?;
                match (self.built.text(module), self.built.text(name)) {
                    (Some(module), Some(name)) => Object::Global(PickleGlobal::named(module, name)),
                    _ => return Err("a name that is no text".into()),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)
            }
            b'P' => {
                let id = self.written_out()?;
                self.persistent(id)
            }
            _ => return Err(format!("opcode {opcode:#04x}, which no protocol has")),
        })
    }

    /// A function, or a class, gets its arguments: what tensors need means something, any other gives an opaque object.
    fn call(&mut self, function: Id, arguments: Id) -> Result<(), String> {
        let items: &[Id] = if let Object::Tuple(items) = self.built.get(arguments) { items } else { &[] };
        let made = match (self.built.global(function), items) {
            (Some(PickleGlobal::Dict), []) => Object::Dict(Vec::new()),
            (Some(PickleGlobal::Dict), &[list]) => {
                let entries = self.take_pairs(list);
                Object::Dict(entries)
            }
            (Some(PickleGlobal::DefaultDict), _) => Object::Dict(Vec::new()),
            (Some(PickleGlobal::Size), &[same]) | (Some(PickleGlobal::RebuildParameter), &[same, ..]) => {
                self.stack.push(same);
                return Ok(());
            }
            (Some(PickleGlobal::RebuildTensor), &[storage, offset, shape, strides, ref rest @ ..]) => {
                // Behind gradient and hooks: what tells a conjugate or a negative view.
                let special = rest.iter().skip(2).any(|&id| !matches!(self.built.get(id), Object::None));
                self.tensor([storage, offset, shape, strides], None, special)?
            }
            (Some(PickleGlobal::RebuildTypedTensor), &[storage, offset, shape, strides, _, _, kind, ref rest @ ..]) => {
                let element = match self.built.global(kind) {
                    Some(PickleGlobal::Type(element, _)) => *element,
                    _ => None,
                };
                match element {
                    Some(element) => {
                        let special = rest.iter().any(|&id| !matches!(self.built.get(id), Object::None));
                        self.tensor([storage, offset, shape, strides], Some(element), special)?
                    }
                    None => Object::Opaque(kind),
                }
            }
            _ => Object::Opaque(function),
        };
        self.push(made);
        Ok(())
    }

    fn tensor(
        &self,
        [storage, offset, shape, strides]: [Id; 4],
        element: Option<super::element::Element>,
        special: bool,
    ) -> Result<Object, String> {
        if special {
            return Ok(Object::Unread("a tensor with special properties (conjugate or negative view)"));
        }
        let offset = self.built.size(offset).ok_or("the offset of a tensor is no size")?;
        Ok(Object::Tensor { storage, offset, shape, strides, element })
    }

    /// The entries that a list of pairs holds, out of it: a program that asks for them again and again gets them once.
    fn take_pairs(&mut self, list: Id) -> Vec<(Id, Id)> {
        let Object::List(pairs) = &mut self.built.objects[list] else { return vec![] };
        let pairs = std::mem::take(pairs);
        let pair = |id: Id| match self.built.get(id) {
            Object::List(items) | Object::Tuple(items) => Some((*items.first()?, *items.get(1)?)),
            _ => None,
        };
        pairs.into_iter().filter_map(pair).collect()
    }

    /// `('storage', type, key, location, count)` becomes a storage; what else lies outside the pickle is opaque.
    fn persistent(&self, id: Id) -> Object {
        if let Object::Tuple(fields) = self.built.get(id)
            && let &[tag, kind, key, _, count] = fields.as_slice()
            && self.built.text(tag) == Some("storage")
            && matches!(self.built.global(kind), Some(PickleGlobal::Storage(..)))
            && self.built.text(key).is_some()
            && let Some(count) = self.built.size(count)
        {
            Object::Storage { key, kind, count }
        } else {
            Object::Unread("something that lies outside the pickle")
        }
    }

    /// A reference to a storage as protocol 0 writes it: `('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 320)`.
    fn written_out(&mut self) -> Result<Id, String> {
        let line = self.line()?;
        let mut fields: Vec<Id> = Vec::new();
        for field in line.trim_matches(['(', ')']).split(", ") {
            let class = field.strip_prefix("<class '").and_then(|name| name.strip_suffix("'>")?.rsplit_once('.'));
            let object = match (class, field.parse()) {
                (Some((module, name)), _) => Object::Global(PickleGlobal::named(module, name)),
                (None, Ok(number)) => Object::Int(number),
                (None, Err(_)) => Object::Text(field.trim_matches('\'').to_owned()),
            };
            self.push(object);
            fields.push(self.pop()?);
        }
        self.push(Object::Tuple(fields));
        self.pop()
    }

    /// Adds to the list on top of the stack; what an opaque object collects has no use.
    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.built.objects[top] {
            Object::List(list) => list.extend(items),
            Object::Opaque(_) => {}
            _ => return Err("items without a list".into()),
        }
        Ok(())
    }

    /// Adds keys and values, alternating, to the dictionary on top of the stack; an object of an unknown class that
    /// takes entries is one.
    fn set_items(&mut self, items: &[Id]) -> Result<(), String> {
        let (top, entries) = (self.top()?, pairs(items)?);
        match &mut self.built.objects[top] {
            Object::Dict(there) => there.extend(entries),
            other @ Object::Opaque(_) => *other = Object::Dict(entries),
            _ => return Err("entries without a dictionary".into()),
        }
        Ok(())
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.built.objects.len());
        self.built.objects.push(object);
    }

    fn top(&self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(|above| above.last()).copied().ok_or_else(|| "the stack is empty".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.pop_array().map(|[id]| id)
    }

    fn pop_array<const N: usize>(&mut self) -> Result<[Id; N], String> {
        let ids = self.pop_last(N)?;
        ids.try_into().map_err(|_| "the stack is empty".into())
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

    /// The number of a memo slot, in one byte or four.
    fn number(&mut self, short: bool) -> Result<u32, String> {
        if short { self.array().map(|[slot]| slot.into()) } else { self.array().map(u32::from_le_bytes) }
    }

    /// A number in decimal digits, on a line of its own.
    fn decimal(&mut self) -> Result<u32, String> {
        self.line()?.trim().parse().map_err(|_| "a number that is none".to_owned())
    }

    /// A length in one, four or eight bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, String> {
        let mut wide = [0; 8];
        wide[..bytes].copy_from_slice(self.take(bytes)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let length = self.rest.iter().position(|&byte| byte == b'\n').ok_or("the pickle ends early")?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}

/// Text; what is not UTF-8, such as bytes of an old protocol, has no use.
fn text(bytes: &[u8]) -> Object {
    std::str::from_utf8(bytes).map_or(Object::Other, |text| Object::Text(text.to_owned()))
}

/// Keys and values, alternating.
fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err("a key without a value".into()),
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
