//! A chip as a system: what moves between layers, how long they take, what their copies and their standing power cost.
//! All figures are worked out by hand from the formulas of `docs/hardware.md`.

use crosspike::Profile;
use crosspike::config::Document;
use crosspike::network::{Encoding, Model};
use crosspike::plan::ChipPlan;
use crosspike::system::{Activity, Architecture, Spent, Workload};
use std::path::Path;

/// Tiles of 16 x 8 cells: two for `conv1`, four for `fc1`, one for the readout.
const CHIP: [&str; 8] = [
    "rram.layers=all",
    "rram.weight_bits=4",
    "tile.rows=16",
    "tile.cols=8",
    "adc.bits=6",
    "adc.columns_shared=8",
    "cost.time_ns.conversion=1",
    "cost.area_um2.cell=1",
];
/// 32 inputs, 64 neurons, 8 neurons and 3 classes.
const MODEL: &str = "name = \"m\"\nsteps = 4\nclasses = 3\ninput = { channels = 2, height = 4, width = 4 }\n\
                     layers = [{ conv = 4 }, { fc = 8 }]";

fn architecture(model: &str, more: &[&str]) -> Architecture {
    let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), model.into()).unwrap()).unwrap();
    let keys: Vec<String> = CHIP.iter().chain(more).map(|key| key.to_string()).collect();
    Architecture::of(&ChipPlan::new(&Profile::ideal(&keys).unwrap(), &model, Encoding::Poisson).unwrap())
}

/// Ten pulses come in, `conv1` fires 60 spikes, `fc1` two.
const ACTIVITY: Activity =
    Activity { steps: 4.0, input: 10.0, spikes: &[60.0, 2.0], drives: &[90.0, 60.0, 2.0], elements: &[0; 3] };

fn spent(more: &[&str]) -> Spent {
    architecture(MODEL, more).spent(&ACTIVITY).unwrap()
}

const MOVED: [&str; 2] = ["cost.energy_pj.interconnect_byte=1", "cost.energy_pj.buffer_byte=1"];

#[test]
fn maps_go_as_bits_or_addresses_whichever_are_fewer() {
    // Ten signed pulses of 5 + 1 bits, in place of 4 · 32 · 2 bits; 4 · 64 bits, in place of 60 addresses of 6; two
    // addresses of 3 bits.
    let bytes = [60.0 / 8.0, 256.0 / 8.0, 6.0 / 8.0];
    let bus = spent(&[&MOVED[..], &["system.interconnect=bus"]].concat());
    for component in ["interconnect_byte", "buffer_byte"] {
        // To the buffer and out of it; the input stands there already.
        assert_eq!(bus.chip[component], bytes[0], "{component}");
        assert_eq!(bus.layers["conv1"][component], 2.0 * bytes[1], "{component}");
        assert_eq!(bus.layers["fc1"][component], 2.0 * bytes[2], "{component}");
    }
    // Seven tiles in a square of three by three, every second row backwards: the middle tiles of the layers stand at
    // (0, 1), (1, 1) and (2, 0).
    let mesh = spent(&[&MOVED[..], &["system.interconnect=mesh"]].concat());
    assert_eq!(mesh.chip, [("buffer_byte", bytes[0]), ("interconnect_byte", bytes[0])].into());
    assert_eq!(mesh.layers["conv1"].get("buffer_byte"), None);
    assert_eq!(mesh.layers["conv1"]["interconnect_byte"], bytes[1]);
    assert_eq!(mesh.layers["fc1"]["interconnect_byte"], 2.0 * bytes[2]);
    let none = spent(&MOVED);
    assert!(none.chip.is_empty() && !none.layers["conv1"].contains_key("interconnect_byte"));
}

#[test]
fn a_map_goes_once_to_the_buffer_and_once_to_each_layer_that_takes_it() {
    let model = "name = \"m\"\nsteps = 4\nclasses = 3\ninput = { channels = 2, height = 4, width = 4 }\n\
                 layers = [{ name = \"a\", conv = 4 }, { name = \"b\", conv = 4 }, \
                 { name = \"s\", conv = 4, from = \"a\", joins = \"b\" }, \
                 { name = \"c\", conv = 4, add = \"a\" }]";
    let architecture = architecture(model, &[&MOVED[..], &["system.interconnect=bus"]].concat());
    let (spikes, drives) = ([60.0, 60.0, 0.0, 60.0], [0.0; 5]);
    let activity = Activity { steps: 4.0, input: 10.0, spikes: &spikes, drives: &drives, elements: &[0; 5] };
    let spent = architecture.spent(&activity).unwrap();
    // a goes to b, s and c; b, with what joins it, to c alone; c to the readout.
    let of = |layer: &str| spent.layers[layer].get("interconnect_byte").copied();
    assert_eq!([of("a"), of("b"), of("s"), of("c")], [Some(4.0 * 32.0), Some(2.0 * 32.0), None, Some(2.0 * 32.0)]);
}

#[test]
fn parts_are_the_whole_with_layers_in_digital_logic_too() {
    let keys = ["system.interconnect=bus", "cost.energy_pj.fetch=1", "cost.power_uw.control=1", "cost.power_uw.tile=2"];
    // What digital logic takes is not known.
    let digital = ["rram.layers=none", "system.interconnect=bus", "cost.time_ns.drive=1"];
    assert!(architecture(MODEL, &digital).spent(&ACTIVITY).is_none());
    for layers in ["rram.layers=all", "rram.layers=conv"] {
        let spent = spent(&[&MOVED[..], &keys, &[layers]].concat());
        let parts: f64 = spent.layers.values().chain([&spent.chip]).flat_map(|parts| parts.values()).sum();
        assert!((parts - spent.total_pj).abs() <= 1e-12 * parts, "{layers}: {spent:?}");
        // fc1 sends from digital logic.
        assert_eq!(spent.layers.contains_key("fc1"), layers == "rram.layers=all");
    }
}

#[test]
fn layers_take_turns_or_work_at_the_same_time() {
    let times = |more: &[&str]| {
        let spent = spent(more);
        (spent.latency_ns.unwrap(), spent.interval_ns.unwrap())
    };
    // A step: 16 pixels of 4 conversions, 8 and 3 conversions.
    assert_eq!(times(&[]), (4.0 * 75.0, 4.0 * 75.0));
    assert_eq!(times(&["system.pipelined=true"]), (75.0 + 3.0 * 64.0, 4.0 * 64.0));
    // Bytes of the last test, a nanosecond each: 16, 0.375 and 1.875 ns a step.
    let bus = ["system.interconnect=bus", "cost.time_ns.interconnect_byte=1"];
    assert_eq!(times(&bus), (4.0 * 93.25, 4.0 * 93.25));
    assert_eq!(times(&[&bus[..], &["system.pipelined=true"]].concat()), (93.25 + 3.0 * 80.0, 4.0 * 80.0));
    // A bus that is slower than every layer is the slowest stage: 100 times 18.25 ns, where conv1 takes 64 + 1600.
    let slow = ["system.interconnect=bus", "cost.time_ns.interconnect_byte=100", "system.pipelined=true"];
    assert_eq!(times(&slow).1, 4.0 * 1825.0);
}

#[test]
fn layers_of_a_cycle_are_one_stage() {
    let model = "name = \"m\"\nsteps = 4\nclasses = 3\ninput = { channels = 2, height = 4, width = 4 }\nnorm = \
                 \"none\"\n\
                 layers = [{ name = \"a\", fc = 8 }, { name = \"r\", fc = 8, recurrent = true }]";
    let architecture = architecture(model, &["system.pipelined=true"]);
    let layers = architecture.plan().layers.len();
    let (spikes, drives, elements) = (vec![0.0; layers - 1], vec![0.0; layers], vec![0; layers]);
    let activity = Activity { steps: 4.0, input: 0.0, spikes: &spikes, drives: &drives, elements: &elements };
    let spent = architecture.spent(&activity).unwrap();
    // a takes 8 ns, r and its own pulses that come back 8 each, the readout 3.
    assert_eq!((spent.latency_ns, spent.interval_ns), (Some(27.0 + 3.0 * 16.0), Some(4.0 * 16.0)));
}

#[test]
fn copies_fill_the_area_where_they_help() {
    // 256, 512 and 128 µm²: two more copies of conv1 fit.
    let area = "system.area_mm2=1408e-6";
    let balanced = architecture(MODEL, &["system.pipelined=true", area]);
    assert_eq!(balanced.schedule().copies, [3, 1, 1]);
    // ⌈16 / 3⌉ pixels of 4 ns.
    let spent = balanced.spent(&ACTIVITY).unwrap();
    assert_eq!(spent.interval_ns, Some(4.0 * 24.0));
    let areas = balanced.areas();
    assert_eq!((&areas.layers[..], areas.total_mm2()), (&[768.0, 512.0, 128.0][..], Some(1408e-6)));
    let short = architecture(MODEL, &["system.pipelined=true", "system.area_mm2=1407e-6"]);
    assert_eq!(short.schedule().copies, [2, 1, 1]);
    // Routers of a mesh are a tile's too: 256 + 2 · 100 µm² a copy.
    let meshed = |area: &str| {
        let keys = ["system.pipelined=true", "system.interconnect=mesh", "cost.area_um2.router=100", area];
        architecture(MODEL, &keys)
    };
    let both = meshed("system.area_mm2=2508e-6");
    assert_eq!((both.schedule().copies[0], both.areas().total_mm2().map(|mm2| (1e6 * mm2).round())), (3, Some(2508.0)));
    assert_eq!(meshed("system.area_mm2=2507e-6").schedule().copies[0], 2);
    // Fully connected layers have one pixel: copies would wait.
    let wide = architecture(MODEL, &["system.pipelined=true", "system.area_mm2=1"]);
    assert_eq!(wide.schedule().copies[1..], [1, 1]);
    assert_eq!(wide.spent(&ACTIVITY).unwrap().interval_ns, Some(4.0 * 8.0), "fc1 is the slowest then");
    // Copies drive no more rows and convert no more sums.
    let priced =
        |more: &[&str]| self::spent(&[&["cost.energy_pj.word_line=1", "cost.energy_pj.mux=1"], more].concat()).total_pj;
    assert_eq!(priced(&[]), priced(&[area]));
}

#[test]
fn power_that_flows_all_the_time_is_spent_for_the_interval() {
    let power = ["cost.power_uw.tile=10", "cost.power_uw.clock=5", "cost.power_uw.control=7"];
    let component = |spent: &Spent, name: &str| -> f64 {
        spent.layers.values().chain([&spent.chip]).filter_map(|parts| parts.get(name)).sum()
    };
    let all = |spent: &Spent| ["leakage", "clock", "control"].map(|name| (1e6 * component(spent, name)).round() / 1e6);
    // Seven tiles for 300 ns, or for 256.
    assert_eq!(all(&spent(&power)), [21.0, 10.5, 2.1]);
    let pipelined = spent(&[&power[..], &["system.pipelined=true"]].concat());
    assert_eq!(all(&pipelined), [21.0, 10.5, 2.1].map(|pj| (1e6 * pj * 256.0 / 300.0_f64).round() / 1e6));
    // Four more tiles, and a buffer.
    let more = ["system.area_mm2=1408e-6", "system.buffer_bytes=100", "cost.power_uw.buffer_byte=2"];
    let copied = spent(&[&power[..], &more].concat());
    let ns = copied.interval_ns.unwrap();
    assert!((component(&copied, "leakage") - (11.0 * 10.0 + 200.0) * ns * 1e-3).abs() < 1e-9, "{copied:?}");
    assert!(!spent(&[]).layers["conv1"].contains_key("leakage"));
}

#[test]
fn efficiency_and_workload_are_those_of_the_counts() {
    let spent = spent(&["cost.energy_pj.mux=1"]);
    // 18 rows, 4 columns, 16 pixels; 64 rows, 8 columns; 8 rows, 3 columns; four steps.
    let dense = 4.0 * (18.0 * 4.0 * 16.0 + 64.0 * 8.0 + 8.0 * 3.0);
    assert_eq!(spent.tops_per_w, Some(2.0 * dense / spent.total_pj));
    assert_eq!(spent.images_per_j, Some(1e12 / spent.total_pj));
    let plan = architecture(MODEL, &["sram.bits=2"]).plan().clone();
    let found = Workload::of(&plan, &Activity { elements: &[72, 0, 0], ..ACTIVITY });
    assert_eq!(found.synaptic_operations.dense, dense);
    assert_eq!(found.synaptic_operations.effective, 90.0 * 4.0 + 60.0 * 8.0 + 2.0 * 3.0);
    assert_eq!((found.membrane_updates, found.activation_sparsity), (4.0 * 72.0, Some(1.0 - 62.0 / 288.0)));
    // Four bits a weight, and two for each of 72 elements.
    assert_eq!(found.footprint, (4.0 * (72.0 + 512.0 + 24.0) + 2.0 * 72.0) / 8.0);
}

#[test]
fn what_needs_times_or_areas_is_refused_without_them() {
    for (keys, expected) in [
        (&["cost.time_ns={}", "system.pipelined=true"][..], "system.pipelined"),
        (&["cost.time_ns={}", "cost.power_uw.tile=1"], "cost.power_uw.tile"),
        (&["cost.area_um2={}", "system.area_mm2=1"], "system.area_mm2"),
        (&["adc.bits=0", "system.pipelined=true"], "system.pipelined"),
        (&["cost.area_um2={}", "cost.area_um2.control=1", "system.area_mm2=1"], "system.area_mm2"),
        (&["cost.node.to_nm=32"], "cost.node.from_nm"),
        (&["cost.node={from_nm=65, from_v=0.5, to_nm=32, to_v=0.9}"], "cost.node.from_v"),
        (&["system.area_mm2=-1"], "system.area_mm2"),
        (&["cost.power_uw.tile=-1"], "cost.power_uw.tile"),
    ] {
        let keys: Vec<String> = CHIP.iter().chain(keys).map(|key| key.to_string()).collect();
        let error = Profile::ideal(&keys).unwrap_err().to_string();
        assert!(error.contains(expected), "{keys:?}: {error}");
    }
}

#[test]
fn layers_that_a_chip_has_no_room_for_are_loaded_for_each_image() {
    let priced = ["cost.energy_pj.offchip_byte=10", "cost.time_ns.offchip_byte=2", "cost.energy_pj.write_pulse=3"];
    let cells = ["rram.model=cell", "rram.cell.g_max_us=50", "tile.cols=16"];
    let on = |tiles: &'static str| [&priced[..], &cells, &[tiles]].concat();
    // Pairs on tiles of 16 lines are eight columns: two tiles for `conv1`, four for `fc1`, one for the readout. Six
    // hold `conv1`, and the others in turn.
    let (whole, few) = (architecture(MODEL, &on("system.tiles=7")), architecture(MODEL, &on("system.tiles=6")));
    assert_eq!((whole.tiles(), few.tiles()), (7, 6));
    assert_eq!(few.schedule().copies, [1, 1, 0]);
    let (stays, loads) = (whole.spent(&ACTIVITY).unwrap(), few.spent(&ACTIVITY).unwrap());
    // 64 rows of 8 columns and 8 of 3, four bits each, and a pulse for each of two devices.
    for (layer, weights) in [("fc1", 64.0 * 8.0), ("fc2", 8.0 * 3.0)] {
        assert_eq!(loads.layers[layer]["offchip_byte"], 10.0 * weights / 2.0, "{layer}");
        assert_eq!(loads.layers[layer]["offchip_write"], 3.0 * 2.0 * weights, "{layer}");
    }
    assert!(!loads.layers["conv1"].contains_key("offchip_byte") && !stays.layers["fc1"].contains_key("offchip_byte"));
    let longer = loads.latency_ns.unwrap() - stays.latency_ns.unwrap();
    assert!((longer - 2.0 * (256.0 + 12.0)).abs() < 1e-9, "{longer}");
    let [more, less] = [&whole, &few].map(|chip| chip.areas().total_mm2().unwrap());
    assert!((more / less - 7.0 / 6.0).abs() < 1e-9, "{more} {less}");
    // What takes turns is neither copied nor pipelined, and a chip has to have room for the largest.
    let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), MODEL.into()).unwrap()).unwrap();
    for (more, expected) in [
        (&["system.tiles=3"][..], "its largest layer alone 4; expected at least 4"),
        (&["system.tiles=6", "system.pipelined=true"], "neither pipelined nor copied"),
        (&["system.tiles=6", "system.area_mm2=1"], "neither pipelined nor copied"),
        (&["system.tiles=6", "system.interconnect=mesh"], "neither pipelined nor copied"),
        (&["system.tiles=6", "rram.drift.nu=0.1", "rram.drift.time_s=9"], "`fc1` is written anew for each image"),
    ] {
        let keys: Vec<String> = CHIP.iter().chain(&cells).chain(more).map(|key| key.to_string()).collect();
        let error = ChipPlan::new(&Profile::ideal(&keys).unwrap(), &model, Encoding::Poisson).unwrap_err().to_string();
        assert!(error.contains(expected), "{more:?}: {error}");
    }
}

#[test]
fn layers_in_digital_logic_are_not_said_to_be_loaded() {
    let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), MODEL.into()).unwrap()).unwrap();
    let keys = [&CHIP[..], &["layer.fc2.rram.layers=none", "system.tiles=5"]].concat();
    let profile = Profile::ideal(&keys.iter().map(|key| key.to_string()).collect::<Vec<_>>()).unwrap();
    let network = crosspike::Network::xavier(&model, 1);
    let blueprint = crosspike::chip::Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).unwrap();
    let said = blueprint.remarks().iter().find(|remark| remark.starts_with("system.tiles = 5")).unwrap();
    assert!(said.contains("`fc1`") && !said.contains("`fc2`"), "{said}");
}

#[test]
fn compensation_costs_a_drive_of_every_row_and_a_conversion_of_every_line() {
    let drifts = ["rram.drift.time_s=100", "rram.drift.nu=0.05", "rram.drift.compensation=column"];
    let priced = [
        "cost.energy_pj.cell_read=1",
        "cost.energy_pj.mux=100",
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "tile.cols=16",
    ];
    let of = |more: &[&str]| {
        let spent = spent(&[&drifts[..], &priced, more].concat());
        ["conv1", "fc1", "fc2"].map(|layer| spent.layers[layer].get("compensation").copied())
    };
    assert_eq!(of(&[]), [None; 3]);
    // Rows and columns: 18 by 4, 64 by 8 and 8 by 3; two devices a weight, two lines a column, and 2, 4 and 1 tiles
    // along the rows.
    let each =
        |rows: f64, columns: f64, tiles: f64| Some((2.0 * rows * columns + 100.0 * tiles * 2.0 * columns) / 50.0);
    let every = ["rram.drift.compensation_images=50"];
    assert_eq!(of(&every), [each(18.0, 4.0, 2.0), each(64.0, 8.0, 4.0), each(8.0, 3.0, 1.0)]);
    // A chip that compensates what it has not lost pays likewise.
    assert_eq!(of(&[&every[..], &["rram.drift.time_s=0"]].concat()), of(&every));
}

#[test]
fn profiles_of_measured_chips_give_their_figures_back() {
    for (name, rows, columns, converted, expected, mm2) in
        [("neurram_130nm", 128, 256, 3, 43.08, 1.161), ("yao_28nm", 512, 512, 8, 25.5, 0.56)]
    {
        // A layer that fills a tile, every row driven.
        let text = format!(
            "name = \"m\"\nsteps = 1\nclasses = 2\nnorm = \"none\"\ninput = {{ channels = {rows}, height = 1, width = \
             1 }}\n\
             layers = [{{ fc = {columns} }}]"
        );
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap();
        let keys = ["adc.range=full", "layer.fc2.rram.layers=none", &format!("adc.bits={converted}")].map(String::from);
        let profile = Profile::named(name, &keys).unwrap();
        let chip = Architecture::of(&ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap());
        assert_eq!(chip.tiles(), 1, "{name}");
        let drives = [f64::from(rows), 0.0];
        let activity =
            Activity { steps: 1.0, input: f64::from(rows), spikes: &[0.0], drives: &drives, elements: &[0; 2] };
        let spent = chip.spent(&activity).unwrap();
        let found = spent.tops_per_w.unwrap();
        assert!((found / expected - 1.0).abs() < 0.01, "{name}: {found} TOPS/W, expected {expected}");
        let area = chip.areas().total_mm2().unwrap();
        assert!((area / mm2 - 1.0).abs() < 0.001, "{name}: {area} mm²");
    }
}
