//! What a profile may say: ranges, combinations, and what this version cannot honour.

use super::{DeviceModel, Profile, Rram, Scheme, Sram, SramInit, VariationKind};
use crate::config::Document;
use crate::error::Result;

impl Profile {
    pub(super) fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        let later = |what: &str| format!("{what} is not modelled in this version");
        let Rram { weight_bits, scheme, model, variation, .. } = &self.rram;
        if *weight_bits > 16 {
            return refuse("rram.weight_bits", format!("{weight_bits}, expected 0 (float) to 16 bits"));
        }
        if *scheme == Scheme::Integer && *weight_bits == 1 {
            return refuse("rram.weight_bits", "1, expected at least 2 bits with the scheme `integer`".into());
        }
        if *model == DeviceModel::Cell {
            return refuse("rram.model", later("`cell`") + "; expected `weight`");
        }
        match variation.kind {
            VariationKind::PerLevel | VariationKind::Polynomial | VariationKind::Table => {
                let message = later("this kind") + "; expected `none`, `lognormal` or `gaussian`";
                return refuse("rram.variation.kind", message);
            }
            VariationKind::None if variation.sigma != 0.0 && !kind_is_written(document) => {
                let message = "is set, but `kind` is not; expected `lognormal`, `gaussian` or `none` beside it";
                return refuse("rram.variation.sigma", message.into());
            }
            _ => {}
        }
        for (key, value) in [("rram.variation.sigma", variation.sigma), ("rram.variation.scale", variation.scale)] {
            if !(value.is_finite() && (0.0..=1e3).contains(&value)) {
                return refuse(key, format!("{value}, expected a number from 0 to 1000"));
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
        self.validate_sram(document)
    }

    fn validate_sram(&self, document: &Document) -> Result<()> {
        let Sram { bits, shift, .. } = &self.sram;
        let scheme = self.sram.effective_scheme();
        if *bits > 16 {
            return Err(document.error("sram.bits", format!("{bits}, expected 0 (none) to 16 bits")));
        }
        if *bits == 1 && scheme == Scheme::Integer {
            return Err(document.error("sram.bits", "1, expected at least 2 bits with the scheme `integer`"));
        }
        if self.sram.init == SramInit::Residual && !matches!(scheme, Scheme::Integer | Scheme::Float) {
            return Err(document.error("sram.scheme", "a residual needs a zero level; expected `integer` or `float`"));
        }
        if let Some(shift) = shift.filter(|s| !(-16..=16).contains(s)) {
            return Err(document.error("sram.shift", format!("{shift}, expected −16 (right) to 16 (left)")));
        }
        Ok(())
    }
}

fn kind_is_written(document: &Document) -> bool {
    let variation = document.table().get("rram").and_then(|rram| rram.get("variation"));
    variation.is_some_and(|section| section.get("kind").is_some())
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
