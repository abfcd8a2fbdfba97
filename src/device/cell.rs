//! Cells with conductances: what a weight's devices are programmed to, where they land, what time and faults make of
//! them.
//!
//! How a weight stands on devices is [`super::code`]'s.
//!
//! Order, always: target, programming variation (with lot, die, tile and neighbours, and write-verify), read-back,
//! drift, retention and temperature ([`super::time`]), read disturb, faults ([`super::faults`]) and worn cells
//! ([`super::wear`]), access devices ([`super::access`]), lines, drivers, reads ([`Reads`]). All conductances are in
//! microsiemens. Each device draws from Philox substreams of its own, named by row, column, layer, slice and polarity:
//! a chip stays itself when tiles, batches or scales change. A row or column that a test has moved ([`super::remap`])
//! has the devices of the place where it stands.

use std::borrow::Cow;
use std::sync::Arc;

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;
use rayon::prelude::*;

use super::access::Circuit;
use super::code::Code;
use super::conductance::LandingLaw;
pub use super::devices::{DevicePlace, Devices, Polarity, TileColumns};
use super::faults::{is_on_dead_line, lines_key, stuck_at};
use super::field::{Field, Stand};
use super::normal::streams;
use super::remap::{At, Grid, Moved};
use super::time::Ageing;
use super::wear::{ReadLoss, has_failed};
use super::{CellSlice, Draw, Matrix, ProgrammedCells, Purpose, selective};
use crate::error::Result;
use crate::monitor::stop_if_asked;
use crate::profile::{Compensation, Fails, Tile};
use crate::rng::Substream;

/// The devices of a layer that is read afresh every step.
#[derive(Clone, Debug)]
pub struct Reads {
    layer: CellLayer<'static>,
    devices: Vec<Devices>,
    draw: Draw,
}

impl Reads {
    /// How many conductances it holds.
    pub fn values(&self) -> usize {
        self.devices.iter().map(|devices| devices.plus.len() + devices.minus.len()).sum()
    }

    /// The reads of the same devices, each column's scaled by a gain.
    pub(super) fn scaled(&self, gains: &[f64]) -> Self {
        let gains = super::joined(&self.layer.gains, gains);
        Reads { layer: CellLayer { gains, ..self.layer.clone() }, ..self.clone() }
    }

    /// What converters see at a step: every device lands beside its conductance anew, not below 0.
    pub fn slices(&self, step: usize) -> Vec<CellSlice> {
        let (key, read) = (self.draw.read_key(step), &self.layer.code.rram.read);
        let mut devices = self.devices.clone();
        self.layer.each(&mut devices, |devices, place| {
            for (device, mut stream) in devices.iter_mut().zip(streams(key, |i| place(i).words())) {
                let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
                let g = *device;
                *device = (g + read.sigma * g * normal() + read.sigma_us * normal()).max(0.0);
            }
        });
        self.layer.dead(&mut devices);
        self.layer.take_exact(&mut devices, &self.devices);
        self.layer.weights(&devices)
    }
}

/// Cells that are programmed from one place to the next where a chip may be given up.
const CELLS_AT_ONCE: usize = 1 << 12;

/// A layer to be programmed.
#[derive(Clone, Debug)]
pub(super) struct CellLayer<'a> {
    code: Code<'a>,
    rows: usize,
    number: u32,
    tile: Tile,
    columns: TileColumns,
    draw: Option<Draw>,
    /// Reads of each row in an image.
    reads: Arc<[f64]>,
    /// Mean squares of each row's input, where some cells are verified by them.
    squares: Arc<[f64]>,
    /// Devices that have failed, slice by slice, laid out as they are; empty where none has.
    worn: Arc<[[Vec<bool>; 2]]>,
    /// Where a test has moved rows and columns, if it has moved any.
    moved: Option<Arc<Moved>>,
    /// The factors by which converters scale each column's currents in operation; empty: 1.
    gains: Arc<[f64]>,
}

/// A layer's devices as they were written.
pub(super) struct WrittenCells {
    /// The conductances where the devices landed.
    pub devices: Vec<Devices>,
    /// The devices that have failed, as [`CellLayer`] has them.
    pub worn: Arc<[[Vec<bool>; 2]]>,
    /// The pulses that all devices took.
    pub pulses: u64,
}

/// What does not work of a device.
#[derive(Clone, Copy, Debug, Default)]
struct Broken {
    /// The conductance that it holds whatever is asked of it, where it is stuck or on a dead line.
    held: Option<f64>,
    /// The conductance that it is stuck at, where it is.
    stuck: Option<f64>,
}

/// What lines do to a layer's devices, slice by slice.
pub type Lines<'a> = &'a dyn Fn(&mut [Devices]) -> Result<()>;

/// Programs a layer's targets `[columns, rows]`; without a draw, devices land on their targets and only what is the
/// same for all of them happens. Columns see what `lines` leave of the devices and of their access; reading them back,
/// one by one, does not.
pub fn program(target: Vec<f32>, matrix: Matrix, draw: Option<Draw>, lines: Option<Lines>) -> Result<ProgrammedCells> {
    let rram = matrix.rram;
    let exact = ExactCells::of(&target, &matrix);
    let (layer, mut written, pulses) = CellLayer::new(&target, matrix, draw).written(&target);
    let mut fresh = layer.faulty(if rram.changes() { written.clone() } else { std::mem::take(&mut written) });
    exact.iter().for_each(|exact| exact.put(&layer, &mut fresh, false));
    let through = layer.through_access(Cow::Borrowed(&fresh));
    let read_back = layer.weights(&through);
    let (layer, mut devices) = if rram.changes() {
        let mut now = layer.faulty(layer.aged(written));
        exact.iter().for_each(|exact| exact.put(&layer, &mut now, true));
        let later = layer.through_access(Cow::Borrowed(&now));
        (layer.compensated(&through, &later), now)
    } else {
        drop(through);
        (layer, fresh)
    };
    match lines {
        Some(lines) => lines(&mut devices)?,
        None => devices = layer.through_access(Cow::Owned(devices)).into_owned(),
    }
    layer.driven(&mut devices);
    let is_read_back = lines.is_none() && !rram.changes() && !layer.drivers_differ();
    let operation = if is_read_back { read_back.clone() } else { layer.weights(&devices) };
    let reads = draw.filter(|_| rram.read.varies()).map(|draw| Reads { layer: layer.owned(), devices, draw });
    Ok(ProgrammedCells { target, programmed: super::fold(&read_back), operation: Some(operation), pulses, reads })
}

/// A layer's devices without variation or faults, slice by slice, before access devices and lines take anything of
/// them.
pub fn nominal(target: &[f32], matrix: Matrix) -> Vec<Devices> {
    let changes = matrix.rram.changes();
    let layer = CellLayer::new(target, Matrix { number: 0, ..matrix }, None);
    let written = layer.write(target).devices;
    if changes { layer.aged(written) } else { written }
}

/// The cells of a layer that are taken for those of a chip without variation and faults.
pub(super) struct ExactCells<'a> {
    nominal: CellLayer<'a>,
    written: Vec<Devices>,
}

impl<'a> ExactCells<'a> {
    /// The exact cells of a matrix, where it has any.
    pub fn of(target: &[f32], matrix: &Matrix<'a>) -> Option<Self> {
        matrix.rram.exact.any().then(|| {
            let nominal = CellLayer::new(target, matrix.clone(), None);
            let written = nominal.write(target).devices;
            ExactCells { nominal, written }
        })
    }

    /// Puts them in the place of those that were made, after their time where that has passed.
    pub fn put(&self, layer: &CellLayer, devices: &mut [Devices], is_aged: bool) {
        match is_aged {
            true => layer.take_exact(devices, &self.nominal.aged(self.written.clone())),
            false => layer.take_exact(devices, &self.written),
        }
    }
}

impl<'a> CellLayer<'a> {
    /// A layer of quantised weights.
    pub fn new(target: &[f32], matrix: Matrix<'a>, draw: Option<Draw>) -> Self {
        let Matrix { rows, number, rram, tile, reads, squares } = matrix;
        let layer = CellLayer {
            code: Code::new(rram, target),
            rows,
            number,
            tile,
            columns: TileColumns::of(rram, tile),
            draw,
            reads,
            squares,
            worn: Arc::default(),
            moved: None,
            gains: Arc::default(),
        };
        let moves = draw.is_some() && rram.faults.move_weights();
        let moved = moves.then(|| Arc::new(layer.away_from_faults(target)));
        CellLayer { moved, ..layer }
    }

    /// The layer with the devices that have failed once it is written, where they landed, and the pulses that they
    /// took.
    pub fn written(self, target: &[f32]) -> (Self, Vec<Devices>, u64) {
        let WrittenCells { devices, worn, pulses } = self.write(target);
        (CellLayer { worn, ..self }, devices, pulses)
    }
}

impl CellLayer<'_> {
    fn owned(&self) -> CellLayer<'static> {
        // Devices have aged and failed by then.
        CellLayer {
            code: self.code.owned(),
            reads: Arc::default(),
            squares: Arc::default(),
            worn: Arc::default(),
            moved: self.moved.clone(),
            gains: self.gains.clone(),
            ..*self
        }
    }

    /// Where a test moves the layer's rows and columns, so that what does not work hurts them least.
    fn away_from_faults(&self, target: &[f32]) -> Moved {
        let CellLayer { code, rows, tile, .. } = self;
        let grid = Grid { rows: *rows, columns: target.len() / rows, tile: *tile, on_tiles: self.columns };
        let (circuit, full) = (Circuit::new(&code.rram), code.full());
        // The squared error of a weight on devices of which these do not work, slice by slice.
        let square = |q: f32, broken: &dyn Fn(u32) -> [Broken; 2]| {
            let held = (0..code.slices()).fold(0.0, |sum, slice| {
                let [plus, minus] = self.held_beside(q, slice, broken(slice));
                let seen = |g: f64| circuit.as_ref().map_or(g, |circuit| circuit.seen(g));
                let count = libm::exp2(f64::from(slice * code.rram.cell.bits)) * code.per_us();
                sum + (seen(plus) - seen(minus)) * count
            });
            ((held - f64::from(q)) / full).powi(2)
        };
        let lines = lines_key(&code.rram.faults, self.draw);
        let fault = |at: At| {
            let of_slices: Vec<[Broken; 2]> = (0..code.slices()).map(|slice| self.broken(at, slice, lines)).collect();
            of_slices.iter().flatten().any(|broken| broken.held.is_some()).then_some(of_slices)
        };
        let error = |(row, column): At, fault: &Vec<[Broken; 2]>| {
            let q = target[column * rows + row];
            square(q, &|slice| fault[slice as usize]) - square(q, &|_| Default::default())
        };
        Moved::of(&code.rram.faults, grid, fault, error)
    }

    /// What does not work of the two devices of a slice at a place.
    fn broken(&self, (row, column): At, slice: u32, lines: Option<[u32; 2]>) -> [Broken; 2] {
        let CellLayer { code, number, tile, columns, draw, .. } = self;
        let faults = &code.rram.faults;
        [Polarity::Plus, code.other()].map(|polarity| {
            let column = if polarity == Polarity::Unit { columns.tile(column) } else { column };
            let place = DevicePlace { row, column, layer: *number, slice, polarity };
            let stuck = stuck_at(faults, (code.g_min, code.g_max), place, *draw);
            let dead = lines.is_some_and(|key| is_on_dead_line(faults, place, (*tile, *columns), key));
            Broken { held: if dead { Some(0.0) } else { stuck }, stuck }
        })
    }

    /// The conductances that the two devices of a slice hold for a weight, where some do not work.
    fn held_beside(&self, q: f32, slice: u32, [plus, minus]: [Broken; 2]) -> [f64; 2] {
        let sides = [(Polarity::Plus, plus, minus), (self.code.other(), minus, plus)];
        let held = |(polarity, own, other): (Polarity, Broken, Broken)| {
            own.held.unwrap_or_else(|| self.asked_beside(q, (slice, polarity), other.stuck))
        };
        sides.map(held)
    }

    /// What is asked of each device.
    pub fn targets(&self, target: &[f32]) -> Vec<Devices> {
        let (code, rows) = (&self.code, self.rows);
        let side = |slice: u32, polarity: Polarity, count: usize, q: &dyn Fn(usize) -> f32| -> Vec<f64> {
            (0..count).map(|i| self.asked(q(i), self.place(i, slice, polarity))).collect()
        };
        let slice = |slice: u32| {
            let minus = match code.other() {
                Polarity::Unit => side(slice, Polarity::Unit, self.columns.tiles(target.len() / rows) * rows, &|_| 0.0),
                other => side(slice, other, target.len(), &|i| target[i]),
            };
            Devices { plus: side(slice, Polarity::Plus, target.len(), &|i| target[i]), minus }
        };
        (0..code.slices()).map(slice).collect()
    }

    /// The devices as they land, those of them that have failed, and the pulses that they took.
    pub fn write(&self, target: &[f32]) -> WrittenCells {
        let CellLayer { code, rows, columns, draw, .. } = self;
        let stand = Stand {
            rows: *rows,
            columns: target.len() / rows,
            layer: self.number,
            slices: code.slices() as usize,
            tile: self.tile,
            on_tiles: *columns,
        };
        let law = LandingLaw::new(&code.rram, *draw, self.tile, *columns).among(Field::new(&code.rram, stand, *draw));
        let program = &code.rram.program;
        let verified = match code.rram.selects() && draw.is_some() {
            true => selective::verified(target, *rows, &self.squares, program.verify_share),
            false => vec![],
        };
        let endurance = &code.rram.endurance;
        let wearing = draw.filter(|_| endurance.any());
        let side = |slice: u32, polarity: Polarity, q: &(dyn Fn(usize) -> f32 + Sync), count: usize| {
            let (mut devices, mut worn) = (vec![0.0; count], vec![false; if wearing.is_some() { count } else { 0 }]);
            let mut failed: Vec<&mut [bool]> = worn.chunks_mut(CELLS_AT_ONCE).collect();
            failed.resize_with(count.div_ceil(CELLS_AT_ONCE), Default::default);
            let parts = devices.par_chunks_mut(CELLS_AT_ONCE).zip(failed).enumerate();
            let pulses: u64 = parts
                .map(|(part, (devices, failed))| {
                    stop_if_asked();
                    let first = part * CELLS_AT_ONCE;
                    let targets = (first..).map(|i| self.asked(q(i), self.place(i, slice, polarity)));
                    devices.iter_mut().zip(targets).for_each(|(device, target)| *device = target);
                    let place = |i| self.place(first + i, slice, polarity);
                    let tell = |i, pulses| {
                        if let Some(draw) = wearing {
                            failed[i] = has_failed(endurance, pulses, place(i), draw);
                        }
                    };
                    // Unit columns, which many sums share, are verified.
                    let is_verified = |i| polarity == Polarity::Unit || verified.get(first + i).is_none_or(|is| *is);
                    law.program(devices, |target| code.level(target), (place, is_verified), tell)
                })
                .sum();
            (devices, worn, pulses)
        };
        let slice = |slice: u32| {
            let (plus, worn, pulses) = side(slice, Polarity::Plus, &|i| target[i], target.len());
            let (minus, also_worn, more) = match code.other() {
                Polarity::Unit => side(slice, Polarity::Unit, &|_| 0.0, columns.tiles(target.len() / rows) * rows),
                other => side(slice, other, &|i| target[i], target.len()),
            };
            ((Devices { plus, minus }, [worn, also_worn]), pulses + more)
        };
        let (slices, pulses): (Vec<_>, Vec<u64>) = (0..code.slices()).map(slice).unzip();
        let (devices, worn): (Vec<_>, Vec<_>) = slices.into_iter().unzip();
        let worn = if wearing.is_some() { worn.into() } else { Arc::default() };
        WrittenCells { devices, worn, pulses: pulses.into_iter().sum() }
    }

    /// The conductance that is asked of a device: its target, or that which makes up for the other device of its pair,
    /// where that one is stuck.
    fn asked(&self, q: f32, place: DevicePlace) -> f64 {
        let (code, faults) = (&self.code, &self.code.rram.faults);
        let other = self.other_of(place.polarity).filter(|_| faults.compensate);
        let range = (code.g_min, code.g_max);
        let stuck = other.and_then(|polarity| stuck_at(faults, range, DevicePlace { polarity, ..place }, self.draw));
        self.asked_beside(q, (place.slice, place.polarity), stuck)
    }

    /// The other device of a pair; none of a raised device and its unit.
    fn other_of(&self, polarity: Polarity) -> Option<Polarity> {
        match polarity {
            Polarity::Plus => Some(Polarity::Minus).filter(|_| self.code.other() == Polarity::Minus),
            Polarity::Minus => Some(Polarity::Plus),
            Polarity::Unit => None,
        }
    }

    /// The conductance that is asked of a device beside one that is stuck at this, if it is.
    fn asked_beside(&self, q: f32, (slice, polarity): (u32, Polarity), stuck: Option<f64>) -> f64 {
        let (code, target) = (&self.code, self.code.target(q, slice, polarity));
        let other = self.other_of(polarity).filter(|_| code.rram.faults.compensate);
        let beside = other.zip(stuck).map(|(other, held)| code.reachable(target + held - code.target(q, slice, other)));
        beside.unwrap_or(target)
    }

    /// Where the device of a weight, or of a unit column, stands on its tile.
    fn place(&self, i: usize, slice: u32, polarity: Polarity) -> DevicePlace {
        let place = DevicePlace { row: i % self.rows, column: i / self.rows, layer: self.number, slice, polarity };
        self.moved.as_ref().map_or(place, |moved| moved.stand(place))
    }

    /// Changes every device by itself, some at a time, of which the second argument says where they stand.
    fn each(&self, devices: &mut [Devices], change: impl Fn(&mut [f64], &dyn Fn(usize) -> DevicePlace) + Sync) {
        self.each_by_row(devices, |devices, _, place| change(devices, place));
    }

    /// Changes every device by itself, some at a time, of which the second argument says the rows of the matrix and the
    /// third where they stand.
    fn each_by_row(
        &self,
        devices: &mut [Devices],
        change: impl Fn(&mut [f64], &dyn Fn(usize) -> usize, &dyn Fn(usize) -> DevicePlace) + Sync,
    ) {
        for (slice, devices) in (0..).zip(devices) {
            let sides = [(Polarity::Plus, &mut devices.plus), (self.code.other(), &mut devices.minus)];
            for (polarity, conductances) in sides {
                conductances.par_chunks_mut(CELLS_AT_ONCE).enumerate().for_each(|(part, devices)| {
                    stop_if_asked();
                    let first = part * CELLS_AT_ONCE;
                    change(devices, &|i| (first + i) % self.rows, &|i| self.place(first + i, slice, polarity));
                });
            }
        }
    }

    /// The devices after their time, at their temperature, and after the reads that they had.
    pub fn aged(&self, mut devices: Vec<Devices>) -> Vec<Devices> {
        let Code { rram, g_min, g_max, .. } = &self.code;
        let loss = ReadLoss::new(rram, *g_min).filter(|_| !self.reads.is_empty());
        // Rows are counted group by group, and a group has as many columns as any other.
        let groups = self.reads.len() / self.rows;
        let columns = devices.first().map_or(0, |slice| slice.plus.len() / self.rows);
        let reads = |row: usize, place: &DevicePlace| {
            let is_shared = groups == 1 || place.polarity == Polarity::Unit;
            let group = if is_shared { 0 } else { place.column * groups / columns };
            self.reads[group * self.rows + row]
        };
        self.each_by_row(&mut devices, |devices, row, place| {
            let ageing = Ageing::new(rram, *g_min, *g_max);
            for (i, g) in devices.iter_mut().enumerate() {
                let place = place(i);
                *g = ageing.after(*g, place, self.draw);
                if let Some(loss) = &loss {
                    *g = loss.after(*g, reads(row(i), &place), place, self.draw);
                }
            }
        });
        devices
    }

    /// What columns see of devices behind their access, where lines drop nothing.
    fn through_access<'d>(&self, mut devices: Cow<'d, [Devices]>) -> Cow<'d, [Devices]> {
        if let Some(circuit) = Circuit::new(&self.code.rram) {
            self.each(devices.to_mut(), |devices, _| devices.iter_mut().for_each(|g| *g = circuit.seen(*g)));
        }
        devices
    }

    /// Whether the drivers of its word lines put different voltages on them.
    fn drivers_differ(&self) -> bool {
        self.draw.is_some() && self.tile.driver_sigma > 0.0
    }

    /// Scales what devices carry by what the drivers of their word lines put on them.
    fn driven(&self, devices: &mut [Devices]) {
        let sigma = self.tile.driver_sigma;
        let Some(draw) = self.draw.filter(|_| sigma > 0.0) else { return };
        let key = draw.key(Purpose::Drivers);
        let across = self.columns.tiles(devices.first().map_or(0, |slice| slice.plus.len() / self.rows));
        let voltage = |line: usize| {
            let place = [(line / across) as u32, (line % across) as u32, self.number];
            let normal: f64 = StandardNormal.sample(&mut Substream::new(key, place));
            (1.0 + sigma * normal).max(0.0)
        };
        // By row and tile along the columns.
        let voltages: Vec<f64> = (0..self.rows * across).map(voltage).collect();
        self.each(devices, |devices, place| {
            for (i, g) in devices.iter_mut().enumerate() {
                let DevicePlace { row, column, polarity, .. } = place(i);
                let tile = if polarity == Polarity::Unit { column } else { self.columns.tile(column) };
                *g *= voltages[row * across + tile];
            }
        });
    }

    /// The layer with the gains that make up for what its devices have lost since they were read back: the currents of
    /// all rows together then over those now, of the layer or of each column, a weight's devices and those of its unit
    /// column added up.
    fn compensated(self, fresh: &[Devices], now: &[Devices]) -> Self {
        let each = match self.code.rram.drift.compensation {
            Compensation::None => return self,
            Compensation::Layer => false,
            Compensation::Column => true,
        };
        let rows = self.rows;
        let columns = now.first().map_or(0, |slice| slice.plus.len() / rows);
        let current = |slices: &[Devices], column: usize| -> f64 {
            let other = if self.code.other() == Polarity::Unit { self.columns.tile(column) } else { column };
            let of =
                |devices: &[f64], column: usize| devices[column * rows..][..rows].iter().fold(0.0, |sum, g| sum + g);
            slices.iter().fold(0.0, |sum, slice| sum + of(&slice.plus, column) + of(&slice.minus, other))
        };
        let [then, now] =
            [fresh, now].map(|slices| (0..columns).map(|column| current(slices, column)).collect::<Vec<f64>>());
        let gain = |then: f64, now: f64| if now > 0.0 { then / now } else { 1.0 };
        let gains: Vec<f64> = if each {
            then.iter().zip(&now).map(|(then, now)| gain(*then, *now)).collect()
        } else {
            let sum = |of: &[f64]| of.iter().fold(0.0, |sum, current| sum + current);
            vec![gain(sum(&then), sum(&now)); columns]
        };
        CellLayer { gains: gains.into(), ..self }
    }

    /// The devices with those that are stuck, or on dead lines.
    pub fn faulty(&self, devices: Vec<Devices>) -> Vec<Devices> {
        let mut devices = self.stuck(devices);
        self.dead(&mut devices);
        devices
    }

    /// The devices with those that are stuck at an end of their range, from the beginning or since they failed.
    pub fn stuck(&self, mut devices: Vec<Devices>) -> Vec<Devices> {
        let end = if self.code.rram.endurance.fails == Fails::On { self.code.g_max } else { self.code.g_min };
        for (devices, [plus, minus]) in devices.iter_mut().zip(&*self.worn) {
            for (devices, worn) in [(&mut devices.plus, plus), (&mut devices.minus, minus)] {
                devices.iter_mut().zip(worn).filter(|(_, has_failed)| **has_failed).for_each(|(g, _)| *g = end);
            }
        }
        let Some(draw) = self.draw.filter(|_| self.code.rram.faults.any()) else { return devices };
        let (faults, range) = (&self.code.rram.faults, (self.code.g_min, self.code.g_max));
        self.each(&mut devices, |devices, place| {
            let fails = |(i, g): (usize, &mut f64)| {
                if let Some(end) = stuck_at(faults, range, place(i), Some(draw)) {
                    *g = end;
                }
            };
            devices.iter_mut().enumerate().for_each(fails);
        });
        devices
    }

    /// Takes the current out of dead lines.
    pub fn dead(&self, devices: &mut [Devices]) {
        let faults = &self.code.rram.faults;
        let Some(key) = lines_key(faults, self.draw) else { return };
        let on_tiles = (self.tile, self.columns);
        self.each(devices, |devices, place| {
            let dead =
                devices.iter_mut().enumerate().filter(|(i, _)| is_on_dead_line(faults, place(*i), on_tiles, key));
            dead.for_each(|(_, g)| *g = 0.0);
        });
    }

    /// Whether the cell at a place of `[columns, rows]` is taken for exact.
    pub fn is_exact(&self, i: usize) -> bool {
        self.code.rram.exact.holds(i % self.rows, i / self.rows)
    }

    /// Puts the cells that are taken for exact in the place of those that were made: both devices of a pair, and of a
    /// raised device that one.
    fn take_exact(&self, devices: &mut [Devices], exact: &[Devices]) {
        if !self.code.rram.exact.any() {
            return;
        }
        for (devices, exact) in devices.iter_mut().zip(exact) {
            let is_pair = self.code.other() == Polarity::Minus;
            for i in (0..devices.plus.len()).filter(|i| self.is_exact(*i)) {
                devices.plus[i] = exact.plus[i];
                if is_pair {
                    devices.minus[i] = exact.minus[i];
                }
            }
        }
    }

    /// What columns hold, slice by slice.
    pub fn weights(&self, devices: &[Devices]) -> Vec<CellSlice> {
        let weights = |(slice, devices)| {
            let of_slice = self.code.weights(slice, devices, self.rows, self.columns);
            CellSlice { gains: self.gains.clone(), ..of_slice }
        };
        (0..).zip(devices).map(weights).collect()
    }
}
