//! What a profile may say: ranges, combinations, and what this version cannot honour.

use super::{DeviceModel, Profile, Rram, Scheme, Sram, SramInit, VariationKind};
use crate::config::Document;
use crate::error::Result;

impl Profile {
    pub(super) fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        self.rram.validate(document, "rram")?;
        self.sram.validate(document, "sram")?;
        for (name, own) in &self.layer {
            own.rram.validate(document, &format!("layer.{name}.rram"))?;
            own.sram.validate(document, &format!("layer.{name}.sram"))?;
            for key in ["init", "budget_bytes"] {
                let section = document.table()["layer"][name.as_str()].get("sram");
                if section.is_some_and(|section| section.get(key).is_some()) {
                    let key = format!("layer.{name}.sram.{key}");
                    return refuse(&key, "is one for all layers; expected it in the section `sram` alone".into());
                }
            }
        }
        for (key, value) in [("tile.rows", self.tile.rows), ("tile.cols", self.tile.cols)] {
            if !(1..=65536).contains(&value) {
                return refuse(key, format!("{value}, expected 1 to 65536 lines"));
            }
        }
        if self.adc.bits != 0 {
            return refuse("adc.bits", later("an ADC of finite resolution") + "; expected 0 (ideal)");
        }
        for (key, value) in [("wires.word_ohm", self.wires.word_ohm), ("wires.bit_ohm", self.wires.bit_ohm)] {
            if value != 0.0 {
                return refuse(key, later("line resistance") + "; expected 0.0 ohm");
            }
        }
        Ok(())
    }
}

fn later(what: &str) -> String {
    format!("{what} is not modelled in this version")
}

impl Rram {
    fn validate(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.{key}"), message));
        let Rram { weight_bits, scheme, model, variation, .. } = self;
        if *weight_bits > 16 {
            return refuse("weight_bits", format!("{weight_bits}, expected 0 (float) to 16 bits"));
        }
        if *scheme == Scheme::Integer && *weight_bits == 1 {
            return refuse("weight_bits", "1, expected at least 2 bits with the scheme `integer`".into());
        }
        if *model == DeviceModel::Cell {
            return refuse("model", later("`cell`") + "; expected `weight`");
        }
        match variation.kind {
            VariationKind::PerLevel | VariationKind::Polynomial | VariationKind::Table => {
                let message = later("this kind") + "; expected `none`, `lognormal` or `gaussian`";
                return refuse("variation.kind", message);
            }
            VariationKind::None if variation.sigma != 0.0 && !kind_is_written(document, section) => {
                let message = "is set, but `kind` is not; expected `lognormal`, `gaussian` or `none` beside it";
                return refuse("variation.sigma", message.into());
            }
            _ => {}
        }
        for (key, value) in [("variation.sigma", variation.sigma), ("variation.scale", variation.scale)] {
            if !(value.is_finite() && (0.0..=1e3).contains(&value)) {
                return refuse(key, format!("{value}, expected a number from 0 to 1000"));
            }
        }
        Ok(())
    }
}

impl Sram {
    fn validate(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.{key}"), message));
        let Sram { bits, shift, .. } = self;
        let scheme = self.effective_scheme();
        if *bits > 16 {
            return refuse("bits", format!("{bits}, expected 0 (none) to 16 bits"));
        }
        if *bits == 1 && scheme == Scheme::Integer {
            return refuse("bits", "1, expected at least 2 bits with the scheme `integer`".into());
        }
        if self.init == SramInit::Residual && !matches!(scheme, Scheme::Integer | Scheme::Float) {
            return refuse("scheme", "a residual needs a zero level; expected `integer` or `float`".into());
        }
        if let Some(shift) = shift.filter(|s| !(-16..=16).contains(s)) {
            return refuse("shift", format!("{shift}, expected −16 (right) to 16 (left)"));
        }
        if self.adder_bits != 0 {
            let message = "needs converted sums, which come of an ADC of finite resolution; expected 0 (no limit), \
                           since this version models none";
            return refuse("adder_bits", message.into());
        }
        if self.budget_bytes.is_some() && self.init != SramInit::Residual {
            return refuse("budget_bytes", "limits a residual; expected sram.init = \"residual\" with it".into());
        }
        Ok(())
    }
}

/// Whether the kind of variation stands in a section, or in the one that it inherits.
fn kind_is_written(document: &Document, section: &str) -> bool {
    let written = |section: &str| {
        let mut parts = section.split('.').chain(["variation", "kind"]);
        let first = document.table().get(parts.next().unwrap_or_default());
        parts.try_fold(first, |value, part| Some(value.and_then(|value| value.get(part)))).flatten().is_some()
    };
    written(section) || written("rram")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for bad in [
            "rram.variation.sigma=nan",
            "rram.variation.sigma=-1",
            "rram.variation.sigma=0.3",
            "rram.variation.scale=inf",
            "rram.variation.kind=per_level",
            "rram.model=cell",
            "rram.weight_bits=40",
            "rram.wieght_bits=4",
            "tile.rows=0",
            "adc.bits=6",
            "wires.word_ohm=1.0",
            "sram.bits=99",
            "sram.shift=400",
            "sram.init=other",
        ] {
            let error = Profile::ideal(&[bad.into()]).expect_err(bad).to_string();
            let key = bad.split('=').next().unwrap();
            assert!(error.contains(key), "{bad}: {error}");
        }
    }
}
