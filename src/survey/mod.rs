//! A chip to look at: what every layer's arrays were asked for, what was programmed, what is missing, which devices do
//! not work, and what stands on each tile.

pub mod files;

use std::ops::Range;

use crate::chip::Blueprint;
use crate::crossbar::adc::Converter;
use crate::crossbar::arrays::Arrays;
use crate::crossbar::budget;
use crate::crossbar::programmed::Programmed;
use crate::crossbar::reading::Reading;
use crate::crossbar::site::{Place, Site};
use crate::crossbar::sram::{Companion, missing};
use crate::crossbar::wires::{Layout, Line, seen};
use crate::device::Draw;
use crate::device::access::Circuit;
use crate::device::survey::{self, Survey};
use crate::error::{Error, Result};
use crate::profile::{DeviceModel, Wires};

/// One layer of a manufactured chip. Matrices are `[columns, rows]`: a column an output channel, rows in published
/// order.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let profile = Profile::named("rram_4bit", &["tile.rows=64".into()])?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let layer = &session.survey(7)?[1];
/// assert_eq!((layer.name.as_str(), layer.rows, layer.columns), ("conv2", 144, 32));
/// assert_eq!(layer.tiles(), (3, 1)); // 144 rows on tiles of 64.
/// assert_eq!(layer.residual[0], layer.target[0] - layer.programmed[0]);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerSurvey {
    /// The layer's name.
    pub name: String,
    /// What holds its weights.
    pub place: Place,
    /// Rows that a column meets.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// The network's weights as the cells' levels have them; of a digital layer none.
    pub target: Vec<f32>,
    /// The weights as they are read back; of a digital layer the network's.
    pub programmed: Vec<f32>,
    /// What cells miss of their targets.
    pub residual: Vec<f32>,
    /// What columns see: read-back after drift and lines, without the companion array.
    pub operating: Vec<f32>,
    /// What the layer multiplies by, the companion array included.
    pub effective: Vec<f32>,
    /// The companion array, where there is one.
    pub companion: Option<Companion>,
    /// The ranges of its converters, slice by slice; without their errors.
    pub converters: Vec<Converter>,
    /// Its devices, where cells have conductances.
    pub devices: Option<Survey>,
    layout: Layout,
    wires: Wires,
    /// The access devices of its cells.
    circuit: Option<Circuit>,
}

/// One tile of a layer. Matrices are `[word lines, bit lines]`, as `crosspike tile` takes them.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session, Solver, solve_tile};
///
/// let profile = Profile::named("rram_wan_2022", &["wires.bit_ohm=2".into()])?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let tile = session.survey(0)?[0].tile(0, 0).expect("its cells have conductances");
/// let currents = solve_tile(&tile.siemens, tile.lines.len(), &[0.2; 9], tile.wires, Solver::Exact)?;
/// assert_eq!(currents[0].len(), 32); // Pairs of bit lines of 16 columns.
/// let deck = tile.netlist("conv1", 0.2); // The same for SPICE.
/// # assert!(deck.contains("Vd0 d0 0 2e-1"));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TileSurvey {
    /// The layer's rows on its word lines.
    pub rows: Range<usize>,
    /// What stands on its bit lines, from the drivers.
    pub lines: Vec<Line>,
    /// Conductances in operation, in siemens; of a cell behind an access device, its current over the voltage across
    /// both, where every word line is driven by the voltage of a read.
    pub siemens: Vec<f64>,
    /// The conductances that were asked for, in siemens.
    pub target_siemens: Vec<f64>,
    /// Devices that do not work, by the codes of [`Faulty`](crate::device::survey::Faulty).
    pub faults: Vec<u8>,
    /// The resistance of its lines.
    pub wires: Wires,
}

/// Surveys every layer of chip `index`.
///
/// # Errors
/// Where a layer's weights are beyond what can be held, or a tile's lines cannot be solved.
pub fn survey(blueprint: &Blueprint, index: u64) -> Result<Vec<LayerSurvey>> {
    if blueprint.profile().any(|_, sram| sram.trim_bits > 0 || (sram.bits > 0 && sram.rank > 0)) {
        return Err(Error::Usage(
            "sram.trim_bits and sram.rank: gains, offsets and branches stand beside the arrays that are written here, \
             and are not among them; expected 0 of each"
                .into(),
        ));
    }
    if blueprint.profile().any(|rram, _| rram.faults.move_weights()) {
        return Err(Error::Usage(
            "rram.faults.spares and rram.faults.remap: tiles are written as weights stand in their matrix, and not as \
             a test moves them; expected 0 and \"none\""
                .into(),
        ));
    }
    let draw = blueprint.draw(index)?;
    let mut arrays = blueprint.all_arrays(Some(draw))?;
    let sites: Vec<&Site> = blueprint.plan().sites().collect();
    budget::keep_to(&blueprint.profile().sram, sites.into_iter(), &mut arrays);
    let sites = blueprint.plan().sites().zip(arrays).enumerate();
    sites.map(|(layer, (site, arrays))| LayerSurvey::of(blueprint, layer, (site, arrays), draw)).collect()
}

impl LayerSurvey {
    fn of(blueprint: &Blueprint, layer: usize, (site, arrays): (&Site, Arrays), draw: Draw) -> Result<Self> {
        let converters = blueprint.calibration().map_or(&[][..], |calibration| &calibration.layers[layer]);
        let programmed =
            Programmed::new(site, &arrays, Reading { converters, draw: Some(draw), steps: blueprint.steps() })?;
        let has_cells = site.is_on_rram() && site.rram.model == DeviceModel::Cell;
        let devices = has_cells.then(|| survey::survey(&arrays.cells.target, site.matrix(), Some(draw)));
        Ok(LayerSurvey {
            name: site.name.clone(),
            place: site.place,
            rows: site.rows,
            columns: site.columns,
            target: arrays.cells.target.clone(),
            programmed: arrays.cells.programmed.clone(),
            residual: missing(&arrays.cells),
            operating: arrays.cells.folded().into_owned(),
            effective: programmed.effective().into_owned(),
            converters: programmed
                .converted()
                .map_or(vec![], |converted| converted.slices.iter().map(|slice| slice.converter).collect()),
            companion: arrays.companion,
            devices,
            layout: Layout::of(site),
            wires: site.wires,
            circuit: Circuit::new(&site.rram).filter(|_| has_cells),
        })
    }

    /// Tiles along its rows and along its columns.
    pub fn tiles(&self) -> (usize, usize) {
        match self.place {
            Place::Rram => self.layout.tiles(self.columns),
            Place::Digital => (0, 0),
        }
    }

    /// The tile at a place; none where there is none, or cells have no conductances.
    pub fn tile(&self, row: usize, column: usize) -> Option<TileSurvey> {
        let devices = self.devices.as_ref()?;
        let (rows, columns) = self.tiles();
        if row >= rows || column >= columns {
            return None;
        }
        let lines = self.layout.lines(&devices.operating, column, self.columns);
        let rows = self.layout.tile_rows(row);
        let at = |line: &Line, row: usize| line.column * self.rows + row;
        let matrix = |slices: &[crate::device::cell::Devices]| -> Vec<f64> {
            let cell = |row: usize, line: &Line| {
                let slice = &slices[line.slice];
                let side = if line.is_subtracted { &slice.minus } else { &slice.plus };
                side[at(line, row)] * 1e-6
            };
            rows.clone().flat_map(|row| lines.iter().map(move |line| cell(row, line))).collect()
        };
        let fault = |row: usize, line: &Line| {
            let slice = &devices.faults[line.slice];
            let side = if line.is_subtracted { &slice.minus } else { &slice.plus };
            side[at(line, row)]
        };
        let faults = rows.clone().flat_map(|row| lines.iter().map(move |line| fault(row, line))).collect();
        let (mut siemens, target_siemens) = (matrix(&devices.operating), matrix(&devices.targets));
        if let Some(circuit) = &self.circuit {
            let own = siemens.iter().map(|g| g * 1e6).collect();
            // The voltages of a tile of a chip that was programmed have settled before.
            let seen = seen(own, lines.len(), Some(circuit), self.wires).ok()?;
            siemens = seen.into_iter().map(|g| g * 1e-6).collect();
        }
        Some(TileSurvey { rows, siemens, target_siemens, faults, lines, wires: self.wires })
    }
}

impl TileSurvey {
    /// The tile as a SPICE deck: word lines driven at the left by sources `Vd0`, `Vd1`, … of so many volt, bit lines
    /// grounded at the bottom through `Vf0`, `Vf1`, …, whose currents are the answer; a line without resistance is one
    /// node.
    pub fn netlist(&self, title: &str, volt: f64) -> String {
        let (m, n) = (self.rows.len(), self.lines.len());
        let Wires { word_ohm, bit_ohm, driver_ohm, sense_ohm } = self.wires;
        // A driver or sense node stands between a source and its line.
        let (driver, sense) = (if driver_ohm > 0.0 { "e" } else { "d" }, if sense_ohm > 0.0 { "g" } else { "f" });
        let word = |i: usize, j: usize| if word_ohm > 0.0 { format!("w{i}_{j}") } else { format!("{driver}{i}") };
        let bit = |i: usize, j: usize| if bit_ohm > 0.0 { format!("b{i}_{j}") } else { format!("{sense}{j}") };
        let mut deck = format!("* {title}\n");
        for i in 0..m {
            deck += &format!("Vd{i} d{i} 0 {volt:e}\n");
            if driver_ohm > 0.0 {
                deck += &format!("Re{i} d{i} e{i} {driver_ohm:e}\n");
            }
            for j in (0..n).filter(|_| word_ohm > 0.0) {
                let before = if j == 0 { format!("{driver}{i}") } else { word(i, j - 1) };
                deck += &format!("Rw{i}_{j} {before} {} {word_ohm:e}\n", word(i, j));
            }
            for j in 0..n {
                let g = self.siemens[i * n + j];
                if g > 0.0 {
                    deck += &format!("Rc{i}_{j} {} {} {:e}\n", word(i, j), bit(i, j), 1.0 / g);
                }
                if bit_ohm > 0.0 {
                    let below = if i + 1 == m { format!("{sense}{j}") } else { bit(i + 1, j) };
                    deck += &format!("Rb{i}_{j} {} {below} {bit_ohm:e}\n", bit(i, j));
                }
            }
        }
        for j in 0..n {
            if sense_ohm > 0.0 {
                deck += &format!("Rg{j} g{j} f{j} {sense_ohm:e}\n");
            }
            deck += &format!("Vf{j} f{j} 0 0\n");
        }
        deck += ".options reltol=1e-10 abstol=1e-18 gmin=1e-30\n.control\nset numdgt=14\nop\n";
        (0..n).for_each(|j| deck += &format!("print i(vf{j})\n"));
        deck + ".endc\n.end\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::Chip;
    use crate::config::Document;
    use crate::crossbar::nodal::transfer;
    use crate::network::{Encoding, Model, Network};
    use crate::profile::Profile;
    use std::path::Path;

    fn model() -> Model {
        let text = "name = \"m\"\nsteps = 2\nclasses = 4\ninput = {channels = 2, height = 4, width = 4}\n\
                    layers = [{conv=5}, {conv=6}]";
        Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap()
    }

    #[test]
    fn a_survey_is_of_the_chip_that_runs() {
        let (model, cells) = (
            model(),
            ["rram.model=cell", "rram.weight_bits=4", "rram.cell.g_max_us=50", "tile.rows=16", "tile.cols=8"],
        );
        let network = Network::xavier(&model, 3);
        let varied = ["rram.variation.kind=lognormal", "rram.variation.sigma=0.2", "rram.faults.stuck_on=0.05"];
        let companion = ["sram.bits=2", "sram.init=residual"];
        let settings: [&[&[&str]]; 4] = [
            &[&cells, &varied, &companion],
            &[&cells, &varied, &["rram.drift.time_s=1e4", "rram.drift.nu=0.05", "wires.word_ohm=5"]],
            &[&cells, &varied, &companion, &["adc.bits=6", "rram.cell.bits=2"]],
            &[&["rram.weight_bits=2", "rram.variation.kind=gaussian", "rram.variation.sigma=0.1"], &companion],
        ];
        for keys in settings {
            let keys: Vec<String> = keys.concat().into_iter().map(String::from).collect();
            let profile = Profile::ideal(&keys).unwrap();
            let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 7).unwrap();
            let (chip, found) = (Chip::program(&blueprint, 2).unwrap(), survey(&blueprint, 2).unwrap());
            for (layer, found) in chip.layers.iter().zip(&found) {
                assert_eq!(layer.arrays.effective(), found.effective, "{keys:?} {}", found.name);
                assert_eq!(layer.plan.name, found.name);
                assert_eq!(found.converters.len(), layer.arrays.converted().map_or(0, |of| of.slices.len()));
            }
            assert_eq!(found[0].devices.is_some(), profile.rram.model == DeviceModel::Cell);
        }
    }

    #[test]
    fn of_groups_a_survey_has_the_columns_of_each() {
        let model = Model::named("depthwise", &[]).unwrap();
        let network = Network::xavier(&model, 3);
        let keys = ["rram.model=cell", "rram.weight_bits=4", "rram.cell.g_max_us=50"].map(String::from);
        let profile = Profile::ideal(&keys).unwrap();
        let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 7).unwrap();
        let (layers, found) = (model.layers(), survey(&blueprint, 0).unwrap());
        let (layer, found) = layers.iter().zip(&found).find(|(layer, _)| layer.groups > 1).unwrap();
        let chip = Chip::program(&blueprint, 0).unwrap();
        let spread = chip.layers.iter().find(|other| other.plan.name == found.name).unwrap();
        assert_eq!((found.columns, found.rows), (layer.columns(), layer.rows()));
        assert_eq!(spread.arrays.effective(), layer.spread(&found.effective));
    }

    #[test]
    fn tiles_hold_every_device_once_and_lines_take_what_the_chip_lost() {
        let (model, keys) = (
            model(),
            [
                "rram.model=cell",
                "rram.weight_bits=4",
                "rram.cell.g_max_us=50",
                "rram.cell.mapping=offset",
                "tile.rows=16",
                "tile.cols=4",
                "wires.bit_ohm=9",
            ],
        );
        let network = Network::xavier(&model, 3);
        let profile = Profile::ideal(&keys.map(String::from)).unwrap();
        let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 7).unwrap();
        let layer = &survey(&blueprint, 0).unwrap()[1];
        let (rows, columns) = layer.tiles();
        let tiles: Vec<TileSurvey> =
            (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))).map(|(r, c)| layer.tile(r, c).unwrap()).collect();
        let devices = layer.devices.as_ref().unwrap();
        let count: usize = tiles.iter().map(|tile| tile.siemens.len()).sum();
        assert_eq!(count, devices.operating[0].plus.len() + devices.operating[0].minus.len());
        assert_eq!((layer.tile(rows, 0), layer.tile(0, columns)), (None, None));
        let tile = &tiles[0];
        assert!(tile.lines[3].is_subtracted && tile.lines[..3].iter().all(|line| !line.is_subtracted));
        // The device of row 1 on the second line, alone, seen through the lines.
        let seen = transfer(&tile.siemens, tile.lines.len(), tile.wires).unwrap()[tile.lines.len() + 1];
        let own = tile.siemens[tile.lines.len() + 1];
        assert!(seen < own && tile.netlist("t", 1.0).contains(&format!("Rc1_1 d1 b1_1 {:e}", 1.0 / own)));
    }
}
