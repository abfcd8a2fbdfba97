//! What a profile may say of cells: ranges, and keys that have a meaning together.

use super::ageing::ZERO_CELSIUS;
use super::{
    Cell, CellMapping, DeviceModel, Disturb, Drift, Endurance, Faults, Programming, Read, Rram, Scheme, Temperature,
    Variation, VariationKind,
};
use crate::config::Document;
use crate::error::Result;

/// The most conductances of a list: those of cells of 8 bits.
const MOST_LEVELS: usize = 256;

impl Rram {
    /// Cells and variation that there can be.
    pub(super) fn validate(&self, document: &Document, section: &str) -> Result<()> {
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
        for (key, range) in [("exact.rows", self.exact.rows), ("exact.columns", self.exact.columns)] {
            if let Some([from, to]) = range.filter(|[from, to]| from >= to) {
                let message = format!("[{from}, {to}], expected the first one and a larger one, behind the last");
                return refuse(key, message);
            }
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
        let Cell { g_max_us, g_min_us, on_off_ratio, levels_us, bits, mapping } = &self.cell;
        self.validate_levels(document, section)?;
        if levels_us.is_empty() && !(g_max_us.is_finite() && (1e-9..=1e9).contains(g_max_us)) {
            return refuse("cell.g_max_us", format!("{g_max_us}, expected the highest conductance in microsiemens"));
        }
        if g_min_us.is_some() && on_off_ratio.is_some() {
            let message = format!(
                "the lowest conductance is given twice, as on_off_ratio and as g_min_us; leave one of them out, or \
                 take it away: --set {section}.cell.g_min_us="
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
        self.validate_numbers(document, section)?;
        self.validate_kind(document, section)
    }

    /// Numbers of programming, faults, drift, reads and a cell's life, each within its range.
    fn validate_numbers(&self, document: &Document, section: &str) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.{key}"), message));
        let Rram { program, faults, drift, variation, .. } = self;
        let numbers = [
            ("program.tolerance_us", program.tolerance_us, 1e9),
            ("program.verify_share", program.verify_share, 1.0),
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
            let message = "wants the cells over which what neighbours share falls to 1/e; expected \
                           variation.neighbour_cells above 0 with it";
            return refuse("variation.neighbour_sigma", message.into());
        }
        self.access.validate(document, section, self.read.volt)?;
        self.disturb.validate(document, section, &self.read)?;
        self.endurance.validate(document, section)?;
        if faults.spares > Faults::MOST_SPARES {
            return refuse(
                "faults.spares",
                format!("{}, expected 0 (none) to {} columns of a tile", faults.spares, Faults::MOST_SPARES),
            );
        }
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
        Ok(())
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
                "stands beside levels_us, which has the ends of the range; leave one of them out, or take it away: \
                 --set {section}.cell.{key}="
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
                "has {} levels, expected {} for cells of {bits} bits, or cell.bits = 0 (a device holds every level as \
                 near as it can)",
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
                    "stands beside sigma, and both say how far cells spread: sigma_us in microsiemens, sigma as a \
                     share; leave one of them out, or take it away: --set {section}.variation.sigma="
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
            Table => validate_table(table, [least, most]).or_else(|(key, message)| refuse(key, message)),
            _ => Ok(()),
        }
    }
}

/// Whether a table of target, mean and σ in microsiemens is one, and holds cells from the least to the most; else the
/// key that is wrong and why.
fn validate_table(table: &[[f64; 3]], [least, most]: [f64; 2]) -> std::result::Result<(), (&'static str, String)> {
    let (Some(first), Some(last)) = (table.first(), table.last()) else {
        return Err(("file", "expected a CSV file of g_us, mean_us and sigma_us".into()));
    };
    let is_number = |x: &f64| x.is_finite() && *x >= 0.0;
    if let Some(row) = table.iter().position(|row| !row.iter().all(is_number)) {
        let message = format!("row {} is {:?}, expected finite microsiemens, 0 or more", row + 1, table[row]);
        return Err(("table", message));
    }
    if let Some(row) = table.windows(2).position(|pair| pair[0][0] >= pair[1][0]) {
        let ([target, ..], [next, ..]) = (table[row], table[row + 1]);
        let rows = format!("rows {} and {}", row + 1, row + 2);
        return Err(("table", format!("{rows} have the targets {target} and {next}, expected rising ones")));
    }
    if least < first[0] || most > last[0] {
        let message = format!("{} to {} microsiemens do not hold the cells' {least} to {most}", first[0], last[0]);
        return Err(("table", message));
    }
    Ok(())
}

/// A kind as it is written.
fn name(kind: &VariationKind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
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
