//! The names of a state dict's modules: their order, and which of them belong together.

use std::cmp::Ordering;

/// How a module of a norm or of neurons stands to one with a matrix.
#[derive(Clone, Copy)]
pub(super) enum Near {
    /// The tensor stands in the same module, with the same number behind its name: `layer1.0.conv2`, `layer1.0.bn2`.
    Number,
    /// The tensor stands in a sequence, a place or two further on: `features.3`, `features.4`.
    Sequence,
    /// Further on in the file, before the next matrix.
    File,
}

impl Near {
    pub fn holds(self, matrix: &str, other: &str, all: &[(&str, bool)]) -> bool {
        let (parent, name) = module_of(matrix);
        let (parent_of_other, name_of_other) = module_of(other);
        let number = |name: &str| name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
        let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Near::Number => {
                parent == parent_of_other
                    && number(name) == number(name_of_other)
                    && !is_number(name)
                    && !is_number(name_of_other)
            }
            Near::Sequence => {
                let both = is_number(name) && is_number(name_of_other) && parent == parent_of_other;
                let step = number(name_of_other).zip(number(name)).and_then(|(other, own)| other.checked_sub(own));
                both && step.is_some_and(|step| (1..=2).contains(&step)) && Near::File.holds(matrix, other, all)
            }
            Near::File => {
                let at = |name: &str| all.iter().position(|(module, _)| *module == name);
                let (Some(first), Some(last)) = (at(matrix), at(other)) else { return false };
                first < last && all[first + 1..last].iter().all(|(_, is_matrix)| !is_matrix)
            }
        }
    }
}

/// The module of a tensor, and the last part of its name.
pub(super) fn module_of(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// The order of names in which numbers count as such.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let parts = |name: &str| -> Vec<(String, u64)> {
        let mut parts = vec![(String::new(), 0u64)];
        let mut in_number = false;
        for c in name.chars() {
            match c.to_digit(10) {
                Some(digit) => {
                    let last = parts.last_mut().expect("there is one");
                    last.1 = last.1.saturating_mul(10).saturating_add(u64::from(digit));
                    in_number = true;
                }
                None => {
                    if in_number {
                        parts.push((String::new(), 0));
                        in_number = false;
                    }
                    parts.last_mut().expect("there is one").0.push(c);
                }
            }
        }
        parts
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}
