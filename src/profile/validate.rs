//! What a profile may say: ranges, combinations, and what this version cannot honour.

use super::{Adc, AdcStep, DeviceModel, Profile, Rounding, Rram, Scheme, Sram, SramInit, VariationKind};
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
        self.validate_adc(document)?;
        for (key, value) in [("wires.word_ohm", self.wires.word_ohm), ("wires.bit_ohm", self.wires.bit_ohm)] {
            if value != 0.0 {
                return refuse(key, later("line resistance") + "; expected 0.0 ohm");
            }
        }
        Ok(())
    }
}

impl Profile {
    fn validate_adc(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        let Adc { bits, step, calibration_images, gain_sigma, offset_sigma, .. } = self.adc;
        if bits > 16 {
            return refuse("adc.bits", format!("{bits}, expected 0 (ideal) to 16 bits"));
        }
        if !(1..=1 << 20).contains(&calibration_images) {
            return refuse("adc.calibration_images", format!("{calibration_images}, expected 1 to 1048576 images"));
        }
        for (key, value, most) in [("adc.gain_sigma", gain_sigma, 1.0), ("adc.offset_sigma", offset_sigma, 1e3)] {
            if !(value.is_finite() && (0.0..=most).contains(&value)) {
                return refuse(key, format!("{value}, expected a number from 0 to {most}"));
            }
        }
        let sections = || {
            let own = self.layer.iter().map(|(name, own)| (format!("layer.{name}.sram"), &own.sram));
            std::iter::once(("sram".to_string(), &self.sram)).chain(own)
        };
        for (section, sram) in sections().filter(|(_, sram)| sram.bits > 0) {
            if bits == 0 && sram.adder_bits > 0 {
                let message =
                    "adds converted sums, and an ideal converter gives none; expected adc.bits above 0 with it";
                return refuse(&format!("{section}.adder_bits"), message.into());
            }
            if bits == 0 && sram.round != Rounding::Exact {
                let message = "cuts integers, and an ideal converter gives none; expected adc.bits above 0 with it";
                return refuse(&format!("{section}.round"), message.into());
            }
            if bits > 0 && sram.effective_scheme() == Scheme::Float {
                let message = "`float`: behind a converter the array's products are integers; expected another scheme";
                return refuse(&format!("{section}.scheme"), message.into());
            }
            if bits > 0 && step == Some(AdcStep::Free) {
                let message =
                    "`free`: a companion array is aligned with the codes by shifting; expected `power_of_two`";
                return refuse("adc.step", message.into());
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
        if self.adder_bits > 31 || self.adder_bits == 1 {
            return refuse("adder_bits", format!("{}, expected 0 (no limit) or 2 to 31 bits", self.adder_bits));
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
            "adc.bits=17",
            "adc.gain_sigma=-1",
            "adc.calibration_images=0",
            "tile.inputs=analog",
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
