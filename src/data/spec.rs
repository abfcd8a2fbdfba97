//! How a data set is named: `KIND`, `KIND:PATH` or `KIND:PATH?KEY=VALUE&KEY=VALUE`.

use std::fmt::Display;
use std::str::FromStr;

use crate::config::most_like;
use crate::error::{Error, Result};

/// A name, taken apart.
#[derive(Debug)]
pub(super) struct Spec<'a> {
    text: &'a str,
    /// What comes before the colon.
    pub kind: &'a str,
    /// What comes behind it, up to the options; empty where there is none.
    pub path: &'a str,
    options: Vec<(&'a str, &'a str)>,
    /// The options that the kind has asked for.
    known: Vec<&'static str>,
}

impl<'a> Spec<'a> {
    /// Takes a name apart; options stand behind the first question mark.
    pub fn parse(text: &'a str) -> Result<Self> {
        let (place, options) = text.split_once('?').unwrap_or((text, ""));
        let (kind, path) = place.split_once(':').unwrap_or((place, ""));
        let parts = options.split('&').filter(|part| !part.is_empty());
        let options = parts
            .map(|part| part.split_once('=').ok_or_else(|| refused(text, part, "expected KEY=VALUE")))
            .collect::<Result<Vec<_>>>()?;
        if let Some((key, _)) = options
            .iter()
            .enumerate()
            .find_map(|(at, option)| options[..at].iter().any(|earlier| earlier.0 == option.0).then_some(option))
        {
            return Err(refused(text, key, "is given twice; expected it once"));
        }
        Ok(Spec { text, kind, path, options, known: vec![] })
    }

    /// The text of an option, where it is given.
    pub fn text_of(&mut self, key: &'static str) -> Option<&'a str> {
        self.known.push(key);
        self.options.iter().find(|option| option.0 == key).map(|option| option.1)
    }

    /// The value of an option, where it is given; `expected` says what it may be.
    pub fn value_of<T: FromStr>(&mut self, key: &'static str, expected: &str) -> Result<Option<T>> {
        let Some(text) = self.text_of(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.refuse(key, format!("`{text}`; expected {expected}")))
    }

    /// A whole number from 1 to `most`, where it is given.
    pub fn count_of(&mut self, key: &'static str, most: usize) -> Result<Option<usize>> {
        let expected = format!("a whole number from 1 to {most}");
        match self.value_of::<usize>(key, &expected)? {
            Some(count) if !(1..=most).contains(&count) => {
                Err(self.refuse(key, format!("`{count}`; expected {expected}")))
            }
            other => Ok(other),
        }
    }

    /// A share between 0 and 1, where it is given.
    pub fn share_of(&mut self, key: &'static str) -> Result<Option<f64>> {
        let expected = "a share between 0 and 1";
        match self.value_of::<f64>(key, expected)? {
            Some(share) if !(share > 0.0 && share < 1.0) => {
                Err(self.refuse(key, format!("{share}; expected {expected}")))
            }
            other => Ok(other),
        }
    }

    /// Numbers between commas, where they are given.
    pub fn numbers_of(&mut self, key: &'static str, expected: &str) -> Result<Option<Vec<f32>>> {
        let Some(text) = self.text_of(key) else { return Ok(None) };
        let numbers: std::result::Result<Vec<f32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        match numbers {
            Ok(numbers) if numbers.iter().all(|number| number.is_finite()) => Ok(Some(numbers)),
            _ => Err(self.refuse(key, format!("`{text}`; expected {expected}"))),
        }
    }

    /// A height and a width, `32` or `48x64`, each from 1 to `most`, where they are given.
    pub fn size_of(&mut self, key: &'static str, most: usize) -> Result<Option<[usize; 2]>> {
        let Some(text) = self.text_of(key) else { return Ok(None) };
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        match (height.parse(), width.parse()) {
            (Ok(height), Ok(width)) if (1..=most).contains(&height) && (1..=most).contains(&width) => {
                Ok(Some([height, width]))
            }
            _ => {
                Err(self
                    .refuse(key, format!("`{text}`; expected HEIGHTxWIDTH, or one number for both, of 1 to {most}")))
            }
        }
    }

    /// An error about an option.
    pub fn refuse(&self, key: &str, message: impl Display) -> Error {
        refused(self.text, key, message)
    }

    /// An error where an option was given that the kind has not asked for.
    pub fn finish(&self) -> Result<()> {
        let Some((key, _)) = self.options.iter().find(|option| !self.known.contains(&option.0)) else { return Ok(()) };
        let expected = match &self.known[..] {
            [] => format!("; `{}` takes no options", self.kind),
            known => format!("; `{}` takes {}", self.kind, known.join(", ")),
        };
        let meant = most_like(key, self.known.iter().copied());
        let meant = meant.map_or(String::new(), |known| format!(", did you mean `{known}`?"));
        Err(self.refuse(key, format!("no such option{meant}{expected}")))
    }
}

fn refused(text: &str, key: &str, message: impl Display) -> Error {
    Error::Usage(format!("data set `{text}`: {key}: {message}"))
}
