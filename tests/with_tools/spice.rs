//! Tiles of random cells, held to ngspice.

use std::process::Command;

use crosspike::chip::Blueprint;
use crosspike::crossbar::nodal::transfer;
use crosspike::crossbar::relaxation::{Conduction, iterate};
use crosspike::crossbar::tile::{Solver, solve};
use crosspike::crossbar::wires::Layout;
use crosspike::device::access::Circuit;
use crosspike::device::cell::{Devices, TileColumns};
use crosspike::network::{Encoding, Model, Network};
use crosspike::profile::{Access, Profile, Read, Rram, Tile, Wires};
use crosspike::rng::{Stream, Substream, stream_key};
use crosspike::survey::survey;
use ndarray_rand::rand::RngCore;

/// The tests.
pub const TESTS: &[crate::Test] = &crate::tests![
    random_tiles_of_pairs_with_faults_have_the_currents_of_spice,
    non_linear_cells_have_the_currents_of_spice,
    cells_behind_access_devices_have_the_currents_of_spice,
    a_deck_of_a_chips_tile_has_the_currents_of_the_solver
];

/// Why ngspice cannot be asked.
pub fn missing() -> Option<String> {
    let found = Command::new("ngspice").arg("-v").output().is_ok_and(|output| output.status.success());
    (!found).then(|| "ngspice is not installed".into())
}

fn currents(transfer: &[f64], voltages: &[f64]) -> Vec<f64> {
    let n = transfer.len() / voltages.len();
    (0..n).map(|j| voltages.iter().enumerate().map(|(i, v)| v * transfer[i * n + j]).sum()).collect()
}

/// The bit lines' currents of a tile `[m, n]` in siemens, as ngspice computes them: ideal lines are its nodes, merged.
fn spice(conductances: &[f64], voltages: &[f64], wires: Wires, conduction: Conduction) -> Vec<f64> {
    let n = conductances.len() / voltages.len();
    spice_of((voltages, n), wires, |i, j, word, bit| {
        let g = conductances[i * n + j];
        match conduction {
            _ if g <= 0.0 => String::new(),
            Conduction::Linear => format!("Rc{i}_{j} {word} {bit} {:e}\n", 1.0 / g),
            Conduction::Sinh(v0) => format!("Bc{i}_{j} {word} {bit} i={:e}*sinh(v({word},{bit})/{v0:e})\n", g * v0),
        }
    })
}

/// The same of cells that a deck says between their word line's node and their bit line's.
fn spice_of(
    (voltages, n): (&[f64], usize),
    wires: Wires,
    cell: impl Fn(usize, usize, &str, &str) -> String,
) -> Vec<f64> {
    let m = voltages.len();
    let Wires { driver_ohm, sense_ohm, .. } = wires;
    let (driver, sense) = (if driver_ohm > 0.0 { "e" } else { "d" }, if sense_ohm > 0.0 { "g" } else { "f" });
    let word = |i: usize, j: usize| if wires.word_ohm > 0.0 { format!("w{i}_{j}") } else { format!("{driver}{i}") };
    let bit = |i: usize, j: usize| if wires.bit_ohm > 0.0 { format!("b{i}_{j}") } else { format!("{sense}{j}") };
    let mut deck = "a tile\n".to_string();
    for (i, v) in voltages.iter().enumerate() {
        deck += &format!("Vd{i} d{i} 0 {v:e}\n");
        if driver_ohm > 0.0 {
            deck += &format!("Re{i} d{i} e{i} {driver_ohm:e}\n");
        }
        for j in (0..n).filter(|_| wires.word_ohm > 0.0) {
            let before = if j == 0 { format!("{driver}{i}") } else { word(i, j - 1) };
            deck += &format!("Rw{i}_{j} {before} {} {:e}\n", word(i, j), wires.word_ohm);
        }
        for j in 0..n {
            deck += &cell(i, j, &word(i, j), &bit(i, j));
            if wires.bit_ohm > 0.0 {
                let below = if i + 1 == m { format!("{sense}{j}") } else { bit(i + 1, j) };
                deck += &format!("Rb{i}_{j} {} {below} {:e}\n", bit(i, j), wires.bit_ohm);
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
    deck += ".endc\n.end\n";
    run(&deck, n)
}

/// The currents of the sources `Vf0`, `Vf1`, … of a deck.
fn run(deck: &str, n: usize) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tile.cir");
    std::fs::write(&file, deck).unwrap();
    let output = Command::new("ngspice").arg("-b").arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let of = |j: usize| {
        let start = format!("i(vf{j}) = ");
        let line = text.lines().find_map(|line| line.trim().strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {start}in {text}")).trim().parse().unwrap()
    };
    (0..n).map(of).collect()
}

fn a_deck_of_a_chips_tile_has_the_currents_of_the_solver() {
    let model = Model::named("digits", &[]).unwrap();
    let network = Network::xavier(&model, 4);
    for keys in [
        &["rram.cell.mapping=one_sided", "wires.word_ohm=3", "wires.bit_ohm=2", "rram.faults.dead_bit_lines=0.1"][..],
        &["rram.cell.mapping=offset", "wires.word_ohm=5"],
        &["rram.cell.mapping=two_sided", "wires.bit_ohm=4"],
        &["rram.cell.mapping=one_sided", "wires.bit_ohm=4", "wires.driver_ohm=200", "wires.sense_ohm=150"],
        &["rram.cell.mapping=one_sided", "rram.cell.bits=2"],
        // What an access device leaves of each cell is its conductance where all word lines are driven by the voltage
        // of a read.
        &[
            "rram.cell.mapping=one_sided",
            "rram.access.ohm=4000",
            "wires.bit_ohm=4",
            "rram.endurance.writes=1",
            "rram.endurance.pulses=9",
        ],
        &[
            "rram.read.volt=0.15",
            "rram.access.selector_iv=[[0.05, 0.3], [0.15, 9.0]]",
            "wires.word_ohm=5",
            "wires.bit_ohm=4",
        ],
    ] {
        let cells = ["rram.model=cell", "rram.weight_bits=4", "rram.cell.g_max_us=50", "tile.rows=24", "tile.cols=16"];
        let keys: Vec<String> = cells.iter().chain(keys).map(|key| key.to_string()).collect();
        let profile = Profile::ideal(&keys).unwrap();
        let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 3).unwrap();
        let tile = survey(&blueprint, 1).unwrap()[1].tile(0, 0).unwrap();
        let (n, volts) = (tile.lines.len(), vec![0.15; tile.rows.len()]);
        let expected = run(&tile.netlist("a tile", 0.15), n);
        let found = &solve(&tile.siemens, n, &volts, tile.wires, Solver::Exact).unwrap()[0];
        let scale = expected.iter().fold(0.0f64, |top, i| top.max(i.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-6 * scale, "{keys:?}: {found}, expected {expected}");
        }
    }
}

struct Random(Substream);

impl Random {
    fn new(seed: u64) -> Self {
        Random(Substream::new(stream_key(seed, Stream::Init, 77), [0; 3]))
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }
}

fn random_tiles_of_pairs_with_faults_have_the_currents_of_spice() {
    let cases = [
        (9, 4, [2.5, 4.0, 0.0, 0.0]),
        (7, 5, [0.0, 6.0, 0.0, 0.0]),
        (12, 3, [8.0, 0.0, 0.0, 0.0]),
        (1, 6, [3.0, 1.0, 0.0, 0.0]),
        (16, 1, [1.0, 2.0, 0.0, 0.0]),
        (10, 6, [150.0, 90.0, 0.0, 0.0]),
        // Drivers and sense nodes, with lines and without.
        (9, 4, [2.5, 4.0, 300.0, 200.0]),
        (9, 4, [0.0, 0.0, 300.0, 200.0]),
        (9, 4, [0.0, 0.0, 0.0, 500.0]),
        (9, 4, [0.0, 3.0, 700.0, 0.0]),
        (9, 4, [4.0, 0.0, 50.0, 90.0]),
    ];
    for (case, (rows, columns, [word_ohm, bit_ohm, driver_ohm, sense_ohm])) in cases.into_iter().enumerate() {
        let (mut random, wires) = (Random::new(case as u64), Wires { word_ohm, bit_ohm, driver_ohm, sense_ohm });
        // Devices of 1 to 100 µS in pairs; some are stuck at either end, a word line is dead, and so is a bit line.
        let mut device = |_| match random.uniform() {
            u if u < 0.1 => 1.0,
            u if u < 0.2 => 100.0,
            _ => 1.0 + 99.0 * random.uniform(),
        };
        let mut devices = Devices {
            plus: (0..rows * columns).map(&mut device).collect(),
            minus: (0..rows * columns).map(device).collect(),
        };
        if rows > 4 {
            (0..columns).for_each(|c| (devices.plus[c * rows + 3], devices.minus[c * rows + 3]) = (0.0, 0.0));
            devices.minus[..rows].fill(0.0);
        }
        let tile: Vec<f64> = (0..rows)
            .flat_map(|r| (0..columns).flat_map(move |c| [(c, false, r), (c, true, r)]))
            .map(|(c, minus, r)| 1e-6 * if minus { devices.minus[c * rows + r] } else { devices.plus[c * rows + r] })
            .collect();
        let voltages: Vec<f64> = (0..rows).map(|_| if random.uniform() < 0.5 { 0.2 } else { 0.0 }).collect();
        let expected = spice(&tile, &voltages, wires, Conduction::Linear);
        let layout = Layout {
            rows,
            tile: Tile { rows, cols: 2 * columns, ..Tile::default() },
            columns: TileColumns { per_tile: columns, spares: 0 },
        };
        let mut seen = [devices];
        layout.apply(&mut seen, wires, None).unwrap();
        let scale = expected.iter().fold(0.0f64, |top, i| top.max(i.abs()));
        for c in 0..columns {
            let sum = |g: &[f64]| (0..rows).map(|r| voltages[r] * g[c * rows + r] * 1e-6).sum::<f64>();
            for (found, expected) in [(sum(&seen[0].plus), expected[2 * c]), (sum(&seen[0].minus), expected[2 * c + 1])]
            {
                assert!(
                    (found - expected).abs() <= 1e-6 * scale,
                    "case {case}, column {c}: {found}, expected {expected}"
                );
            }
        }
    }
}

/// A curve of straight pieces for SPICE, odd and beyond its ends as straight as before them.
fn pwl(volt: &str, points: &[[f64; 2]], scale: f64) -> String {
    let [first, last] = [points.len().saturating_sub(2), points.len() - 1].map(|i| points[i]);
    let far = [10.0 * last[0], last[1] + 9.0 * last[0] * (last[1] - first[1]) / (last[0] - first[0])];
    let positive: Vec<[f64; 2]> = points.iter().copied().chain([far]).collect();
    let negative = positive.iter().rev().map(|[v, i]| [-v, -i]);
    let all = negative.chain([[0.0; 2]]).chain(positive.iter().copied());
    let numbers: Vec<String> = all.map(|[v, i]| format!("{v:e},{:e}", i * scale)).collect();
    format!("pwl({volt},{})", numbers.join(","))
}

fn cells_behind_access_devices_have_the_currents_of_spice() {
    const VOLT: f64 = 0.3;
    let curve = vec![[0.1, 1.0], [0.2, 2.6], [0.3, 6.0], [0.4, 12.0]];
    let selector = vec![[0.05, 0.4], [0.15, 6.0], [0.3, 60.0]];
    for (case, (m, n, [word_ohm, bit_ohm, driver_ohm, sense_ohm], ohm, curved, selects)) in [
        (8, 6, [20.0, 30.0, 0.0, 0.0], 4e3, false, false),
        (8, 6, [20.0, 30.0, 0.0, 0.0], 4e3, true, true),
        (6, 10, [0.0, 0.0, 300.0, 0.0], 0.0, false, true),
        (12, 4, [100.0, 40.0, 100.0, 50.0], 1e3, true, false),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut random, wires) = (Random::new(200 + case as u64), Wires { word_ohm, bit_ohm, driver_ohm, sense_ohm });
        let access = Access {
            ohm,
            cell_iv: if curved { curve.clone() } else { vec![] },
            selector_iv: if selects { selector.clone() } else { vec![] },
        };
        let rram = Rram { access, read: Read { volt: VOLT, ..Read::default() }, ..Rram::default() };
        let circuit = Circuit::new(&rram).unwrap();
        // Columns of pairs; currents are those of a tile whose word lines are all driven by the voltage of a read.
        let g = |random: &mut Random| 1.0 + 99.0 * random.uniform();
        let mut devices = Devices {
            plus: (0..m * n / 2).map(|_| g(&mut random)).collect(),
            minus: (0..m * n / 2).map(|_| g(&mut random)).collect(),
        };
        devices.plus[1] = 0.0;
        let own =
            |i: usize, j: usize| if j % 2 == 1 { devices.minus[j / 2 * m + i] } else { devices.plus[j / 2 * m + i] };
        let cell = |i: usize, j: usize, word: &str, bit: &str| {
            let g = own(i, j);
            if g == 0.0 {
                return String::new();
            }
            let (after_ohm, after_cell) = (format!("x{i}_{j}"), format!("y{i}_{j}"));
            let begin = if ohm > 0.0 { after_ohm.as_str() } else { word };
            let end = if selects { after_cell.as_str() } else { bit };
            let mut deck = if ohm > 0.0 { format!("Rx{i}_{j} {word} {begin} {ohm:e}\n") } else { String::new() };
            // The cell's curve at 0.3 V is 6, which stands for 0.3 times its conductance.
            deck += &match curved {
                true => format!(
                    "Bc{i}_{j} {begin} {end} i={}\n",
                    pwl(&format!("v({begin},{end})"), &curve, g * 1e-6 * VOLT / 6.0)
                ),
                false => format!("Rc{i}_{j} {begin} {end} {:e}\n", 1e6 / g),
            };
            if selects {
                deck += &format!("Bs{i}_{j} {end} {bit} i={}\n", pwl(&format!("v({end},{bit})"), &selector, 1e-6));
            }
            deck
        };
        let expected = spice_of((&vec![VOLT; m], n), wires, cell);
        let layout = Layout {
            rows: m,
            tile: Tile { rows: m, cols: n, ..Tile::default() },
            columns: TileColumns { per_tile: n / 2, spares: 0 },
        };
        let mut seen = [devices.clone()];
        layout.apply(&mut seen, wires, Some(&circuit)).unwrap();
        let mut without = [devices.clone()];
        layout.apply(&mut without, wires, None).unwrap();
        for c in 0..n / 2 {
            let sum = |g: &[f64]| g[c * m..][..m].iter().sum::<f64>() * VOLT * 1e-6;
            for (found, alone, expected) in [
                (sum(&seen[0].plus), sum(&without[0].plus), expected[2 * c]),
                (sum(&seen[0].minus), sum(&without[0].minus), expected[2 * c + 1]),
            ] {
                assert!(
                    (found - expected).abs() <= 1e-6 * expected,
                    "case {case}, column {c}: {found}, expected {expected}"
                );
                assert!((found - alone).abs() > 1e-3 * expected, "case {case}: {found}, {alone} without access");
            }
        }
    }
}

fn non_linear_cells_have_the_currents_of_spice() {
    for (case, (m, n, [word_ohm, bit_ohm, driver_ohm, sense_ohm], v0)) in [
        (8, 6, [20.0, 30.0, 0.0, 0.0], 0.1),
        (5, 9, [0.0, 200.0, 0.0, 0.0], 0.1),
        (12, 4, [100.0, 0.0, 0.0, 0.0], 0.07),
        (8, 6, [5.0, 3.0, 0.0, 0.0], 0.04),
        (8, 6, [5.0, 3.0, 400.0, 250.0], 0.1),
        (8, 6, [0.0, 0.0, 400.0, 250.0], 0.1),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut random, wires) = (Random::new(100 + case as u64), Wires { word_ohm, bit_ohm, driver_ohm, sense_ohm });
        let tile: Vec<f64> = (0..m * n).map(|_| 1e-6 * (1.0 + 99.0 * random.uniform())).collect();
        let voltages: Vec<f64> = (0..m).map(|_| 0.3 * random.uniform()).collect();
        let expected = spice(&tile, &voltages, wires, Conduction::Sinh(v0));
        let found = iterate(&tile, &voltages, wires, Conduction::Sinh(v0), 1e-10).unwrap();
        let linear = currents(&transfer(&tile, n, wires).unwrap(), &voltages);
        for ((found, expected), linear) in found.iter().zip(&expected).zip(linear) {
            assert!((found - expected).abs() <= 1e-6 * expected, "case {case}: {found}, expected {expected}");
            assert!(*found > 1.05 * linear, "case {case}: {found}, linear {linear}");
        }
    }
}
