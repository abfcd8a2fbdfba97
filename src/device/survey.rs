//! A layer's devices as a designer would measure them: what was asked of each, where it landed, what it holds in
//! operation, and which do not work. Lines and access devices are not seen: each device is measured by itself.

use super::cell::{CellLayer, ExactCells};
use super::devices::Devices;
use super::{Draw, Matrix, Span};

/// A device works.
pub const WORKS: u8 = 0;
/// A device is stuck at the lowest conductance.
pub const STUCK_OFF: u8 = 1;
/// A device is stuck at the highest conductance.
pub const STUCK_ON: u8 = 2;
/// A device is on a word line, or a bit line, that is dead: it carries no current.
pub const DEAD_LINE: u8 = 3;

/// A layer's devices, slice by slice, in microsiemens.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let keys = ["rram.drift.time_s=1e4", "rram.drift.nu=0.05"].map(String::from);
/// let profile = Profile::named("rram_milo_2021", &keys)?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let survey = session.survey(0)?[0].devices.clone().expect("its cells have conductances");
/// let kept = survey.operating[0].plus[0] / survey.programmed[0].plus[0];
/// assert!((kept - 10001f64.powf(-0.05)).abs() < 1e-9); // The law of drift, 10⁴ s after programming.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Survey {
    /// What was asked for.
    pub targets: Vec<Devices>,
    /// Where they landed, faults included: what is read back.
    pub programmed: Vec<Devices>,
    /// What they hold in operation, after drift, retention and reads, faults included.
    pub operating: Vec<Devices>,
    /// The devices that do not work.
    pub faults: Vec<Faulty>,
    /// What one slice of a column holds.
    pub span: Span,
}

/// What is wrong with one slice's devices, laid out as they are: a device works (0), is stuck at the lowest conductance
/// (1) or at the highest (2), or is on a dead line (3).
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let profile = Profile::named("rram_wan_2022", &["rram.faults.stuck_on=0.05".into()])?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let survey = session.survey(0)?[1].devices.clone().expect("its cells have conductances");
/// let (codes, found) = (&survey.faults[0].plus, &survey.programmed[0].plus);
/// let stuck: Vec<usize> = (0..codes.len()).filter(|device| codes[*device] == 2).collect();
/// assert!((0.03..0.07).contains(&(stuck.len() as f64 / codes.len() as f64)));
/// assert!(stuck.iter().all(|device| found[*device] == 39.26)); // They hold g_max_us, whatever was asked for.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Faulty {
    /// What is wrong with the devices that add.
    pub plus: Vec<u8>,
    /// What is wrong with those that are subtracted: the pairs' others, or the unit columns.
    pub minus: Vec<u8>,
}

/// Surveys the devices of a layer of quantised weights `[columns, rows]`.
pub fn survey(target: &[f32], matrix: Matrix, draw: Option<Draw>) -> Survey {
    let rram = matrix.rram;
    let exact = ExactCells::of(target, &matrix);
    let (layer, written, _) = CellLayer::new(target, matrix, draw).written(target);
    let targets = layer.targets(target);
    let mut programmed = layer.faulty(written.clone());
    exact.iter().for_each(|exact| exact.put(&layer, &mut programmed, false));
    let mut operating = programmed.clone();
    if rram.changes() {
        operating = layer.faulty(layer.aged(written));
        exact.iter().for_each(|exact| exact.put(&layer, &mut operating, true));
    }
    let faults = faults(&layer, &targets, rram.cell.highest_us());
    Survey { targets, programmed, operating, faults, span: Span::of(rram, target) }
}

fn faults(layer: &CellLayer, like: &[Devices], highest: f64) -> Vec<Faulty> {
    // No device has a conductance below 0: one that keeps it is not stuck.
    let unstuck: Vec<Devices> = like
        .iter()
        .map(|slice| Devices { plus: vec![-1.0; slice.plus.len()], minus: vec![-1.0; slice.minus.len()] })
        .collect();
    let stuck = layer.stuck(unstuck.clone());
    let mut alive = unstuck;
    layer.dead(&mut alive);
    let of = |(stuck, alive): (&f64, &f64)| match (*alive, *stuck) {
        (0.0, _) => DEAD_LINE,
        (_, g) if g < 0.0 => WORKS,
        (_, g) if g == highest => STUCK_ON,
        _ => STUCK_OFF,
    };
    let is_pair = |devices: &Devices| devices.minus.len() == devices.plus.len();
    let side = |stuck: &[f64], alive: &[f64], may_be_exact: bool| {
        let found = stuck.iter().zip(alive).map(of).enumerate();
        found.map(|(i, fault)| if may_be_exact && layer.is_exact(i) { WORKS } else { fault }).collect()
    };
    let slice = |(stuck, alive): (&Devices, &Devices)| Faulty {
        plus: side(&stuck.plus, &alive.plus, true),
        minus: side(&stuck.minus, &alive.minus, is_pair(stuck)),
    };
    stuck.iter().zip(&alive).map(slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;
    use crate::profile::Profile;

    #[test]
    fn devices_say_the_weights_that_are_read_back() {
        let mappings = ["one_sided", "two_sided", "offset"].into_iter();
        for (mapping, exact) in mappings.flat_map(|mapping| [(mapping, "[4, 5]"), (mapping, "[1, 3]")]) {
            let keys = [
                "rram.model=cell",
                "rram.weight_bits=4",
                "rram.cell.g_max_us=50",
                "rram.cell.on_off_ratio=10",
                "rram.variation.kind=lognormal",
                "rram.variation.sigma=0.2",
                "rram.faults.stuck_on=0.1",
                "rram.faults.stuck_off=0.1",
                "rram.faults.dead_word_lines=0.3",
                "rram.drift.time_s=1000",
                "rram.drift.nu=0.05",
                "tile.rows=8",
                "tile.cols=8",
            ];
            let mut keys: Vec<String> = keys.map(String::from).into();
            keys.extend([format!("rram.cell.mapping={mapping}"), format!("rram.exact.columns={exact}")]);
            let profile = Profile::ideal(&keys).unwrap();
            let (rram, tile, rows) = (&profile.rram, profile.tile, 12);
            let latent: Vec<f32> = (0..rows * 5).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
            let draw = Some(Draw::chip(3, 1));
            let matrix = Matrix::new(rows, 2, rram, tile);
            let cells = device::program(&latent, matrix.clone(), draw, None).unwrap();
            let found = survey(&cells.target, matrix.clone(), draw);
            let layer = CellLayer::new(&cells.target, matrix, draw);
            assert_eq!(device::fold(&layer.weights(&found.programmed)), cells.programmed, "{mapping}");
            assert_eq!(device::fold(&layer.weights(&found.operating)), cells.folded().into_owned(), "{mapping}");
            assert_eq!(device::fold(&layer.weights(&found.targets)).len(), cells.target.len());
            for (read, target) in device::fold(&layer.weights(&found.targets)).iter().zip(&cells.target) {
                assert!((read - target).abs() < 1e-6, "{mapping}: {read} of {target}");
            }
            let count =
                |code: u8| found.faults.iter().flat_map(|slice| &slice.plus).filter(|fault| **fault == code).count();
            assert!(
                count(STUCK_OFF) > 0 && count(STUCK_ON) > 0 && count(DEAD_LINE) > 0 && count(WORKS) > 20,
                "{mapping}"
            );
            let first = if exact == "[1, 3]" { 1 } else { 4 };
            assert!(found.faults[0].plus[first * rows..][..rows].iter().all(|fault| *fault == WORKS), "{mapping}");
            for (fault, g) in found.faults[0].plus.iter().zip(&found.programmed[0].plus) {
                match *fault {
                    STUCK_ON => assert_eq!(*g, 50.0),
                    STUCK_OFF => assert_eq!(*g, 5.0),
                    DEAD_LINE => assert_eq!(*g, 0.0),
                    _ => assert!(*g > 0.0),
                }
            }
        }
    }
}
