//! What a profile may say: ranges, combinations, and what this version cannot honour.

use super::ageing::ZERO_CELSIUS;
use super::node::{NODES, TechnologyNode};
use super::{
    Adc, AdcStep, Cell, CellMapping, Cost, DeviceModel, Disturb, Drift, Endurance, Faults, Layers, NeuronFormat,
    Profile, Programming, Read, Rounding, Rram, Scheme, Sram, SramInit, System, Temperature, Tile, TileInputs,
    Variation, VariationKind,
};
use crate::config::Document;
use crate::device::cell::bit_lines;
use crate::error::Result;

/// The most conductances of a list: those of cells of 8 bits.
const MOST_LEVELS: usize = 256;

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
        let Tile { rows, rows_at_once, .. } = self.tile;
        if rows_at_once > 0 && (rows_at_once > rows || rows % rows_at_once != 0) {
            let message =
                format!("{rows_at_once}, expected a whole part of the tile's {rows} rows, or 0 (all rows at once)");
            return refuse("tile.rows_at_once", message);
        }
        if self.tile.input_bits > 16 {
            let message = format!("{}, expected 1 to 16 bits, or 0 (as many as the data take)", self.tile.input_bits);
            return refuse("tile.input_bits", message);
        }
        document.within("tile", &[("driver_sigma", self.tile.driver_sigma, 1.0)])?;
        let (levels, ideal) = (self.tile.level_weights, Tile::default().level_weights);
        if let Some(bad) = levels.iter().find(|weight| !(0.0..=64.0).contains(*weight)) {
            return refuse("tile.level_weights", format!("{bad}, expected numbers of steps from 0 to 64"));
        }
        if levels != ideal && self.tile.inputs != TileInputs::Levels {
            let message = "is of drivers with several voltages; expected tile.inputs = \"levels\" with it";
            return refuse("tile.level_weights", message.into());
        }
        if levels != ideal && !self.converts() {
            let message =
                "shows in sums that are converted, and an ideal converter sees none; expected adc.bits above 0 with it";
            return refuse("tile.level_weights", message.into());
        }
        let weights = |rram: &Rram| rram.model == DeviceModel::Weight && rram.layers != Layers::None;
        if self.tile.driver_sigma > 0.0 && self.any(|rram, _| weights(rram)) {
            let message =
                "varies voltages across conductances, and the model is `weight`; expected rram.model = \"cell\"";
            return refuse("tile.driver_sigma", message.into());
        }
        self.validate_adc(document)?;
        self.validate_cost(document)?;
        self.validate_neuron(document)?;
        for (section, rram) in std::iter::once(("rram".to_string(), &self.rram))
            .chain(self.layer.iter().map(|(name, own)| (format!("layer.{name}.rram"), &own.rram)))
        {
            let (weight, units) = bit_lines(rram);
            if weight + units > self.tile.cols {
                let message = format!(
                    "takes {} bit lines a weight, and a tile has {}; expected wider cells or tile.cols",
                    weight + units,
                    self.tile.cols
                );
                return refuse(&format!("{section}.cell.bits"), message);
            }
        }
        for (key, value) in self.wires.all() {
            let key = &format!("wires.{key}");
            if !(value.is_finite() && (0.0..=1e6).contains(&value)) {
                return refuse(key, format!("{value}, expected 0 to 1000000 ohm"));
            }
            if value > 0.0 && self.any(|rram, _| rram.model == DeviceModel::Weight && rram.layers != Layers::None) {
                let message =
                    "drops voltage across conductances, and the model is `weight`; expected rram.model = \"cell\"";
                return refuse(key, message.into());
            }
        }
        Ok(())
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
                "neuron.fraction_bits is {fraction_bits}{default}, expected fewer than the membrane's {membrane_bits} bits; set it beside neuron.membrane_bits"
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
            let message = "is missing, and converters cost something: public models differ five- to twelvefold; expected \
                           the name of the one that the constants are of";
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
        for (key, nm, volt_key, volt) in
            [("from_nm", node.from_nm, "from_v", node.from_v), ("to_nm", node.to_nm, "to_v", node.to_v)]
        {
            let Some(least) = TechnologyNode::least_volt(nm) else {
                let message = format!(
                    "{nm}, expected one of the nodes of the published table, {NODES:?} nm; all four keys or none"
                );
                return refuse(key, message);
            };
            if !(volt.is_finite() && volt > least && volt <= 1.8) {
                let message = format!(
                    "{volt}, expected {least:.2} to 1.8 V, where energy rises with the supply; all four keys or none"
                );
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

impl Rram {
    fn validate(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.{key}"), message));
        let Rram { weight_bits, scheme, model, variation, resolution_bits, .. } = self;
        if !matches!(resolution_bits, 0 | 2..=16) {
            let message = format!("{resolution_bits}, expected 2 to 16 bits, or 0 (as many as exact sums allow)");
            return refuse("resolution_bits", message);
        }
        if *weight_bits > 16 {
            return refuse("weight_bits", format!("{weight_bits}, expected 0 (float) to 16 bits"));
        }
        if *scheme == Scheme::Integer && *weight_bits == 1 {
            return refuse("weight_bits", "1, expected at least 2 bits with the scheme `integer`".into());
        }
        match model {
            DeviceModel::Weight => self.validate_weight(document, section)?,
            DeviceModel::Cell => self.validate_cell(document, section)?,
        }
        match variation.kind {
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

impl Rram {
    /// What belongs to conductances is refused with the statistical model.
    fn validate_weight(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.{key}"), message));
        let Rram { cell, program, faults, drift, temperature, read, access, disturb, endurance, variation, .. } = self;
        let needs = "is of conductances, and the model is `weight`; expected rram.model = \"cell\" with it";
        for (key, there) in [
            ("cell", *cell != Cell::default()),
            ("program", *program != Programming::default()),
            ("faults", *faults != Faults::default()),
            ("drift", *drift != Drift::default()),
            ("temperature", *temperature != Temperature::default()),
            ("read", *read != Read::default()),
            ("access", access.any()),
            ("disturb", *disturb != Disturb::default()),
            ("endurance", *endurance != Endurance::default()),
            ("variation.kind", matches!(variation.kind, VariationKind::Polynomial | VariationKind::Table)),
            ("variation.sigma_us", variation.sigma_us != 0.0),
            ("variation.lot_sigma", variation.lot_sigma != 0.0),
            ("variation.die_sigma", variation.die_sigma != 0.0),
            ("variation.tile_sigma", variation.tile_sigma != 0.0),
            ("variation.neighbour_sigma", variation.neighbour_sigma != 0.0),
            ("variation.neighbour_cells", variation.neighbour_cells != 0.0),
        ] {
            if there {
                return refuse(key, needs.into());
            }
        }
        self.validate_kind(document, section)
    }

    /// Conductances that there can be.
    fn validate_cell(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.{key}"), message));
        let Rram { cell, program, faults, drift, variation, .. } = self;
        let Cell { g_max_us, g_min_us, on_off_ratio, levels_us, bits, mapping } = cell;
        self.validate_levels(document, section)?;
        if levels_us.is_empty() && !(g_max_us.is_finite() && (1e-9..=1e9).contains(g_max_us)) {
            return refuse("cell.g_max_us", format!("{g_max_us}, expected the highest conductance in microsiemens"));
        }
        if g_min_us.is_some() && on_off_ratio.is_some() {
            let message = format!(
                "the lowest conductance is given twice, as on_off_ratio and as g_min_us; leave one of them out, or take it away: --set {section}.cell.g_min_us="
            );
            return refuse("cell.on_off_ratio", message);
        }
        if let Some(ratio) = on_off_ratio.filter(|ratio| ratio.is_nan() || *ratio <= 1.0) {
            return refuse(
                "cell.on_off_ratio",
                format!("{ratio}, expected a ratio above 1; inf: cells that are off do not conduct"),
            );
        }
        if let Some(least) = g_min_us.filter(|least| !(0.0..*g_max_us).contains(least)) {
            return refuse("cell.g_min_us", format!("{least}, expected 0 to below g_max_us, {g_max_us} microsiemens"));
        }
        if *bits > 8 {
            return refuse("cell.bits", format!("{bits}, expected 0 (a device holds every level) to 8 bits"));
        }
        if *bits > 0 && *mapping == CellMapping::TwoSided {
            return refuse(
                "cell.bits",
                "cuts magnitudes, which a two-sided pair has none of; expected 0 with it".into(),
            );
        }
        if *bits > 0 && self.effective_scheme() == Scheme::Float {
            return refuse(
                "cell.bits",
                "cuts levels, and floats have none; expected weight_bits above 0 with it".into(),
            );
        }
        let numbers = [
            ("program.tolerance_us", program.tolerance_us, 1e9),
            ("faults.stuck_off", faults.stuck_off, 1.0),
            ("faults.stuck_on", faults.stuck_on, 1.0),
            ("faults.dead_word_lines", faults.dead_word_lines, 1.0),
            ("faults.dead_bit_lines", faults.dead_bit_lines, 1.0),
            ("read.sigma", self.read.sigma, 10.0),
            ("read.sigma_us", self.read.sigma_us, 1e9),
            ("drift.time_s", drift.time_s, 1e12),
            ("drift.nu", drift.nu, 10.0),
            ("drift.nu_sigma", drift.nu_sigma, 10.0),
            ("drift.retention_sigma", drift.retention_sigma, 10.0),
            ("drift.compensation_images", drift.compensation_images, 1e18),
            ("variation.sigma_us", variation.sigma_us, 1e9),
            ("variation.lot_sigma", variation.lot_sigma, 10.0),
            ("variation.die_sigma", variation.die_sigma, 10.0),
            ("variation.tile_sigma", variation.tile_sigma, 10.0),
            ("variation.neighbour_sigma", variation.neighbour_sigma, 10.0),
            ("variation.neighbour_cells", variation.neighbour_cells, 1e6),
            ("read.volt", self.read.volt, 1e3),
            ("read.pulse_ns", self.read.pulse_ns, 1e12),
        ];
        document.within(section, &numbers)?;
        if variation.neighbour_sigma > 0.0 && variation.neighbour_cells == 0.0 {
            let message = "wants the cells over which what neighbours share falls to 1/e; expected variation.neighbour_cells above 0 with it";
            return refuse("variation.neighbour_sigma", message.into());
        }
        self.access.validate(document, section, self.read.volt)?;
        self.disturb.validate(document, section, &self.read)?;
        self.endurance.validate(document, section)?;
        if faults.stuck_off + faults.stuck_on > 1.0 {
            return refuse("faults.stuck_on", "together with stuck_off more than all cells; expected at most 1".into());
        }
        self.validate_temperature(document, section)?;
        if !(drift.reference_s > 0.0 && drift.reference_s.is_finite()) {
            return refuse("drift.reference_s", format!("{}, expected seconds above 0", drift.reference_s));
        }
        if !(1..=100_000).contains(&program.most_pulses) {
            return refuse("program.most_pulses", format!("{}, expected 1 to 100000 pulses", program.most_pulses));
        }
        self.validate_kind(document, section)
    }

    /// Temperatures, and drift that depends on the conductance.
    fn validate_temperature(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.{key}"), message));
        let Rram { drift, temperature, .. } = self;
        for (key, value, least, most) in [
            ("temperature.celsius", temperature.celsius, -ZERO_CELSIUS + 1.0, 1000.0),
            ("temperature.reference_celsius", temperature.reference_celsius, -ZERO_CELSIUS + 1.0, 1000.0),
            ("temperature.low_per_kelvin", temperature.low_per_kelvin, -0.1, 0.1),
            ("temperature.high_per_kelvin", temperature.high_per_kelvin, -0.1, 0.1),
            ("temperature.activation_ev", temperature.activation_ev, 0.0, 5.0),
            ("drift.nu_per_ln", drift.nu_per_ln, -10.0, 10.0),
        ] {
            if !(value.is_finite() && (least..=most).contains(&value)) {
                return refuse(key, format!("{value}, expected a number from {least} to {most}"));
            }
        }
        match drift.nu_range {
            Some([least, most]) if !(0.0..=most).contains(&least) || most > 10.0 => {
                refuse("drift.nu_range", format!("{least} to {most}, expected a rising pair from 0 to 10"))
            }
            _ => Ok(()),
        }
    }

    /// Conductances of a list.
    fn validate_levels(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.cell.{key}"), message));
        let Cell { g_max_us, g_min_us, on_off_ratio, levels_us, bits, .. } = &self.cell;
        if levels_us.is_empty() {
            return Ok(());
        }
        let ends = [
            ("g_max_us", *g_max_us != 0.0),
            ("g_min_us", g_min_us.is_some()),
            ("on_off_ratio", on_off_ratio.is_some()),
        ];
        if let Some((key, _)) = ends.into_iter().find(|(_, is_there)| *is_there) {
            let message = format!(
                "stands beside levels_us, which has the ends of the range; leave one of them out, or take it away: --set {section}.cell.{key}="
            );
            return refuse(key, message);
        }
        if !(2..=MOST_LEVELS).contains(&levels_us.len()) {
            return refuse("levels_us", format!("has {} levels, expected 2 to {MOST_LEVELS}", levels_us.len()));
        }
        if let Some(bad) = levels_us.iter().find(|level| !(0.0..=1e9).contains(*level)) {
            return refuse("levels_us", format!("{bad}, expected conductances from 0 to 1e9 microsiemens"));
        }
        if let Some(pair) = levels_us.windows(2).find(|pair| pair[0] >= pair[1]) {
            return refuse("levels_us", format!("{} stands before {}, expected rising conductances", pair[0], pair[1]));
        }
        if *bits > 0 && levels_us.len() != 1 << *bits {
            let message = format!(
                "has {} levels, expected {} for cells of {bits} bits, or cell.bits = 0 (a device holds every level as near as it can)",
                levels_us.len(),
                1u32 << *bits
            );
            return refuse("levels_us", message);
        }
        Ok(())
    }

    /// Each kind of variation has its own keys, and no others.
    fn validate_kind(&self, document: &Document, section: &str) -> Result<()> {
        use VariationKind::{Gaussian, Lognormal, PerLevel, Polynomial, Table};
        let refuse = |key: &str, message: String| {
            // A table that a file holds is named by it.
            let own = format!("{section}.variation.{key}");
            let files = [format!("{section}.variation.file"), "rram.variation.file".into()];
            let file = files.into_iter().find(|file| key == "table" && document.table_at(file).is_some());
            match file.filter(|_| document.table_at(&own).is_none()) {
                Some(file) => Err(document.error(&file, message.replace(&own, &file))),
                None => Err(document.error(&own, message)),
            }
        };
        let Variation { kind, sigma, sigma_us, levels, coefficients, fitted_us, table, .. } = &self.variation;
        for (key, there, of) in [
            ("sigma", *sigma != 0.0, &[VariationKind::None, Lognormal, Gaussian][..]),
            ("sigma_us", *sigma_us != 0.0, &[VariationKind::None, Gaussian]),
            ("levels", !levels.is_empty(), &[VariationKind::None, PerLevel]),
            ("coefficients", !coefficients.is_empty(), &[VariationKind::None, Polynomial]),
            ("fitted_us", fitted_us.is_some(), &[VariationKind::None, Polynomial]),
            ("table", !table.is_empty(), &[VariationKind::None, Table]),
        ] {
            if there && !of.contains(kind) {
                let message = format!(
                    "has no meaning for the kind `{}`; leave it out, or take it away: --set {section}.variation.{key}=",
                    name(kind)
                );
                return refuse(key, message);
            }
        }
        if *kind == Gaussian && *sigma != 0.0 && *sigma_us != 0.0 {
            return refuse(
                "sigma_us",
                format!(
                    "stands beside sigma, and both say how far cells spread: sigma_us in microsiemens, sigma as a share; leave one of them out, or take it away: --set {section}.variation.sigma="
                ),
            );
        }
        let (least, most) = (self.cell.lowest_us(), self.cell.highest_us());
        match kind {
            PerLevel if levels.is_empty() || levels.iter().any(|sigma| !(0.0..=1e3).contains(sigma)) => {
                refuse("levels", "expected standard deviations from 0 to 1000, from level 1 on".into())
            }
            Polynomial if coefficients.is_empty() || coefficients.iter().any(|c| !c.is_finite()) => {
                refuse("coefficients", "expected at least one number, the constant first".into())
            }
            Polynomial => match fitted_us {
                Some([from, to]) if least < *from || most > *to => {
                    refuse("fitted_us", format!("{from} to {to} microsiemens do not hold the cells' {least} to {most}"))
                }
                _ => Ok(()),
            },
            Table if table.is_empty() => refuse("file", "expected a CSV file of g_us, mean_us and sigma_us".into()),
            Table if let Some(row) = table.iter().position(|row| row.iter().any(|x| !(x.is_finite() && *x >= 0.0))) => {
                refuse("table", format!("row {} is {:?}, expected finite microsiemens, 0 or more", row + 1, table[row]))
            }
            Table if let Some(row) = table.windows(2).position(|pair| pair[0][0] >= pair[1][0]) => {
                let [target, next] = [table[row][0], table[row + 1][0]];
                refuse(
                    "table",
                    format!(
                        "rows {} and {} have the targets {target} and {next}, expected rising ones",
                        row + 1,
                        row + 2
                    ),
                )
            }
            Table if least < table[0][0] || most > table[table.len() - 1][0] => refuse(
                "table",
                format!(
                    "{} to {} microsiemens do not hold the cells' {least} to {most}",
                    table[0][0],
                    table[table.len() - 1][0]
                ),
            ),
            _ => Ok(()),
        }
    }
}

/// A kind as it is written.
fn name(kind: &VariationKind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
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
