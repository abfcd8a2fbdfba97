//! What a profile may say: ranges, combinations, and what this version cannot honour.

use super::node::{NODES, TechnologyNode};
use super::{
    Adc, AdcStep, Cost, DeviceModel, Layers, NeuronFormat, Profile, Rounding, Rram, Scheme, Sram, SramInit, System,
    TileInputs,
};
use crate::config::Document;
use crate::error::Result;

impl Profile {
    pub(super) fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        self.rram.validate(document, "rram")?;
        self.sram.validate(document, "sram")?;
        for (name, own) in &self.layer {
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                let message =
                    "is no layer of any model; expected a name as `crosspike map` lists it, such as conv1 or fc1";
                return refuse(&format!("layer.{name}"), message.into());
            }
            own.rram.validate(document, &format!("layer.{name}.rram"))?;
            own.sram.validate(document, &format!("layer.{name}.sram"))?;
            for key in ["init", "budget_bytes", "budget_by"] {
                let section = document.table()["layer"][name.as_str()].get("sram");
                if section.is_some_and(|section| section.get(key).is_some()) {
                    let key = format!("layer.{name}.sram.{key}");
                    return refuse(&key, "is one for all layers; expected it in the section `sram` alone".into());
                }
            }
        }
        self.validate_tile(document)?;
        self.validate_adc(document)?;
        self.validate_cost(document)?;
        self.validate_neuron(document)?;
        self.validate_wires(document)
    }

    fn validate_neuron(&self, document: &Document) -> Result<()> {
        let NeuronFormat { membrane_bits, fraction_bits, leak_bits, gain_bits, .. } = self.neuron;
        let refuse = |key: &str, message: String| Err(document.error(&format!("neuron.{key}"), message));
        if membrane_bits != 0 && !(4..=16).contains(&membrane_bits) {
            return refuse("membrane_bits", format!("{membrane_bits}, expected 0 (floats) or 4 to 16 bits"));
        }
        if membrane_bits != 0 && fraction_bits >= membrane_bits {
            let default = if document.table_at("neuron.fraction_bits").is_none() { " by default" } else { "" };
            let message = format!(
                "neuron.fraction_bits is {fraction_bits}{default}, expected fewer than the membrane's {membrane_bits} \
                 bits; set it beside neuron.membrane_bits"
            );
            return refuse(if default.is_empty() { "fraction_bits" } else { "membrane_bits" }, message);
        }
        if leak_bits > 8 {
            return refuse("leak_bits", format!("{leak_bits}, expected 0 to 8 bits"));
        }
        if gain_bits > 16 {
            return refuse("gain_bits", format!("{gain_bits}, expected 0 (as it is) to 16 bits"));
        }
        Ok(())
    }

    fn validate_cost(&self, document: &Document) -> Result<()> {
        let Cost { adc_model, adc_bits, energy_pj, area_um2, .. } = &self.cost;
        for (section, key, value) in self.cost.constants() {
            if value.is_some_and(|value| !(value.is_finite() && (0.0..=1e12).contains(&value))) {
                return Err(document.error(&format!("cost.{section}.{key}"), "expected a number from 0 to 1e12"));
            }
        }
        let priced = energy_pj.adc.is_some() || area_um2.adc.is_some();
        if *adc_bits > 16 || (priced && *adc_bits == 0) {
            let message = format!("{adc_bits}, expected the 1 to 16 bits of the converters that cost.adc_model is of");
            return Err(document.error("cost.adc_bits", message));
        }
        if adc_model.is_empty() && priced {
            let message = "is missing, and converters cost something: public models differ five- to twelvefold; \
                           expected the name of the one that the constants are of";
            return Err(document.error("cost.adc_model", message));
        }
        self.validate_node(document)?;
        self.validate_system(document)
    }

    fn validate_node(&self, document: &Document) -> Result<()> {
        let node = self.cost.node;
        if node == TechnologyNode::default() {
            return Ok(());
        }
        let refuse = |key: &str, message: String| Err(document.error(&format!("cost.node.{key}"), message));
        let keys = [
            ("from_nm", f64::from(node.from_nm)),
            ("from_v", node.from_v),
            ("to_nm", f64::from(node.to_nm)),
            ("to_v", node.to_v),
        ];
        let there = keys.iter().find(|(_, value)| *value != 0.0);
        if let Some(((there, _), (missing, _))) = there.zip(keys.iter().find(|(_, value)| *value == 0.0)) {
            return refuse(
                there,
                format!(
                    "stands without cost.node.{missing}; expected all four of from_nm, from_v, to_nm and to_v, or none"
                ),
            );
        }
        for (key, nm, volt_key, volt) in
            [("from_nm", node.from_nm, "from_v", node.from_v), ("to_nm", node.to_nm, "to_v", node.to_v)]
        {
            let Some(least) = TechnologyNode::least_volt(nm) else {
                let message = format!("{nm}, expected one of the nodes of the published table, {NODES:?} nm");
                return refuse(key, message);
            };
            if !(volt.is_finite() && volt > least && volt <= 1.8) {
                let message = format!("{volt}, expected {least:.2} to 1.8 V, where energy rises with the supply");
                return refuse(volt_key, message);
            }
        }
        Ok(())
    }

    fn validate_system(&self, document: &Document) -> Result<()> {
        let (System { area_mm2, pipelined, .. }, cost) = (self.system, &self.cost);
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        if !(area_mm2.is_finite() && (0.0..=1e6).contains(&area_mm2)) {
            return refuse("system.area_mm2", format!("{area_mm2}, expected 0 (no copies) to 1e6 mm²"));
        }
        if !(1..=64).contains(&self.system.ensemble) {
            return refuse("system.ensemble", format!("{}, expected 1 to 64 chips", self.system.ensemble));
        }
        if self.system.tiles > 1 << 30 {
            let message =
                format!("{}, expected 0 (as many as the network takes) to 1073741824 tiles", self.system.tiles);
            return refuse("system.tiles", message);
        }
        let timed = self.is_timed();
        let needs =
            "needs the times of a chip; expected cost.time_ns.drive, or cost.time_ns.conversion with converters";
        let a = &cost.area_um2;
        let of_tiles = [a.cell, a.adc, a.mux, a.code, a.htree, a.tile_buffer, a.temporary_buffer];
        if area_mm2 > 0.0 && !(timed && of_tiles.iter().flatten().any(|um2| *um2 > 0.0)) {
            return refuse("system.area_mm2", format!("{needs}, and areas of tiles in cost.area_um2"));
        }
        if pipelined && !timed {
            return refuse("system.pipelined", needs.into());
        }
        match cost.power_uw.all().into_iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) if !timed => refuse(&format!("cost.power_uw.{key}"), needs.into()),
            _ => Ok(()),
        }
    }

    /// A limit of currents needs currents.
    fn validate_limit(&self, document: &Document) -> Result<()> {
        let refuse = |message: &str| Err(document.error("adc.limit_ua", message));
        let on_rram = |rram: &Rram| rram.layers != Layers::None;
        if self.adc.limit_ua == 0.0 {
            return Ok(());
        }
        if self.adc.bits == 0 {
            return refuse(
                "limits what a converter takes, and an ideal one takes any; expected adc.bits above 0 with it",
            );
        }
        if self.any(|rram, _| on_rram(rram) && rram.model == DeviceModel::Weight) {
            return refuse("is of currents, and the model is `weight`; expected rram.model = \"cell\" with it");
        }
        if self.any(|rram, _| on_rram(rram) && rram.read.volt == 0.0) {
            return refuse(
                "is of currents, and the voltage of a read is not known; expected rram.read.volt above 0 with it",
            );
        }
        if self.tile.inputs == TileInputs::Pulses {
            return refuse("is of currents, and pulses add up charge; expected tile.inputs = \"bit_planes\" with it");
        }
        Ok(())
    }

    fn validate_adc(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        let Adc { bits, step, calibration_images, columns_shared, .. } = self.adc;
        if bits > 16 {
            return refuse("adc.bits", format!("{bits}, expected 0 (ideal) to 16 bits"));
        }
        if !(1..=65536).contains(&columns_shared) {
            return refuse("adc.columns_shared", format!("{columns_shared}, expected 1 to 65536 columns"));
        }
        if !(1..=1 << 20).contains(&calibration_images) {
            return refuse("adc.calibration_images", format!("{calibration_images}, expected 1 to 1048576 images"));
        }
        self.adc.validate(document)?;
        self.validate_limit(document)?;
        let sections = || {
            let own = self.layer.iter().map(|(name, own)| (format!("layer.{name}.sram"), &own.sram));
            std::iter::once(("sram".to_string(), &self.sram)).chain(own)
        };
        for (section, sram) in sections().filter(|(_, sram)| sram.bits > 0) {
            if let Some((key, _)) = sram.widths().into_iter().find(|(_, width)| bits == 0 && *width > 0) {
                let message = "is of integers, and an ideal converter gives none; expected adc.bits above 0 with it";
                return refuse(&format!("{section}.{key}"), message.into());
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
        let sliced = self.any(|rram, _| rram.model == DeviceModel::Cell && rram.cell.bits > 0);
        if bits > 0 && step == Some(AdcStep::Free) && sliced {
            return refuse("adc.step", "`free`: codes of slices meet by shifting; expected `power_of_two`".into());
        }
        Ok(())
    }
}

impl Sram {
    /// Widths of the digital macro.
    fn widths(&self) -> [(&'static str, u32); 3] {
        [("sum_bits", self.sum_bits), ("shifter_bits", self.shifter_bits), ("adder_bits", self.adder_bits)]
    }

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
        for (key, bits) in self.widths() {
            if bits > 31 || bits == 1 {
                return refuse(key, format!("{bits}, expected 0 (no limit) or 2 to 31 bits"));
            }
        }
        if !(0.0..1.0).contains(&self.threshold) {
            let message =
                format!("{}, expected a share of a layer's largest element: 0 (all stay) to below 1", self.threshold);
            return refuse("threshold", message);
        }
        if self.trim_bits == 1 || self.trim_bits > 16 {
            return refuse("trim_bits", format!("{}, expected 0 (none) or 2 to 16 bits", self.trim_bits));
        }
        if self.spends_by_output() && scheme != Scheme::Integer {
            return refuse("budget_by", "output, expected codes to count: sram.scheme = \"integer\" with it".into());
        }
        if self.spends_by_output() && self.threshold > 0.0 {
            let message = "leaves elements out that sram.budget_by = \"output\" chooses among; expected 0, or \
                           budget_by = \"deviation\"";
            return refuse("threshold", message.into());
        }
        if self.rank > 0 {
            if self.init != SramInit::Residual {
                return refuse(
                    "rank",
                    "is of what a chip's cells miss; expected sram.init = \"residual\" with it".into(),
                );
            }
            if scheme != Scheme::Integer || self.round != Rounding::Exact {
                let message = "joins an array in whole numbers of which none are cut; expected sram.scheme = \
                               \"integer\" and sram.round = \"exact\" with it";
                return refuse("rank", message.into());
            }
            if let Some((key, bits)) = self.widths().into_iter().find(|(_, bits)| *bits > 0) {
                let message = format!(
                    "{bits}, beside sram.rank: a branch of low rank joins in a unit finer than the array's, in which \
                     widths are not modelled; expected 0"
                );
                return refuse(key, message);
            }
            if !(2..=12).contains(&self.rank_bits) {
                return refuse("rank_bits", format!("{}, expected 2 to 12 bits", self.rank_bits));
            }
        }
        if self.budget_bytes.is_some() && self.init != SramInit::Residual {
            return refuse("budget_bytes", "limits a residual; expected sram.init = \"residual\" with it".into());
        }
        Ok(())
    }
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
            "rram.variation.kind=table",
            "rram.variation.lot_sigma=0.1",
            "rram.model=cell",
            "rram.cell.g_max_us=10",
            "rram.faults.stuck_on=0.1",
            "rram.drift.time_s=10",
            "rram.weight_bits=40",
            "rram.wieght_bits=4",
            "tile.rows=0",
            "tile.rows_at_once=256",
            "tile.rows_at_once=48",
            "adc.bits=17",
            "adc.gain_sigma=-1",
            "adc.calibration_images=0",
            "adc.capacitor_sigma=-1",
            "adc.bow=nan",
            "adc.type=pipeline",
            "tile.inputs=analog",
            "wires.word_ohm=-1.0",
            "wires.bit_ohm=1.0",
            "sram.bits=99",
            "sram.shift=400",
            "sram.init=other",
            "sram.threshold=1.0",
            "sram.threshold=-0.1",
        ] {
            let error = Profile::ideal(&[bad.into()]).expect_err(bad).to_string();
            let section = bad.split(['.', '=']).next().unwrap();
            assert!(error.contains(section), "{bad}: {error}");
        }
    }
}
