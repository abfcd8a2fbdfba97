//! Energy, latency and area: counted from what chips did, by the profile's constants, each knob in its direction.

mod common;

use common::trained::{baseline, hardware, model};
use crosspike::chip::{Blueprint, Chip};
use std::path::Path;

use crosspike::config::Document;
use crosspike::crossbar::mapping::map;
use crosspike::data::{Dataset, Split};
use crosspike::engine::calibrate::with_ranges;
use crosspike::engine::chip_result::ChipResult;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::engine::exit::Exit;
use crosspike::engine::price::Price;
use crosspike::network::{Encoder, Encoding, Model};
use crosspike::plan::ChipPlan;
use crosspike::system::area::area;
use crosspike::system::{Activity, Architecture, Spent};

/// Constants of one picojoule, square micrometre and nanosecond each, on cells behind 6-bit converters.
const PRICED: [&str; 25] = [
    "rram.layers=all",
    "adc.bits=6",
    "cost.adc_model=a test",
    "cost.adc_bits=6",
    "cost.energy_pj.cell_read=1",
    "cost.energy_pj.word_line=1",
    "cost.energy_pj.adc=1",
    "cost.energy_pj.mux=1",
    "cost.energy_pj.code=1",
    "cost.energy_pj.htree=1",
    "cost.energy_pj.tile_buffer=1",
    "cost.energy_pj.temporary_buffer=1",
    "cost.energy_pj.fetch=1",
    "cost.energy_pj.neuron=1",
    "cost.energy_pj.join=1",
    "cost.energy_pj.sram_read_bit=1",
    "cost.energy_pj.sram_add=1",
    "cost.area_um2.cell=1",
    "cost.area_um2.adc=1",
    "cost.area_um2.join=1",
    "cost.area_um2.sram_bit=1",
    "cost.time_ns.drive=1",
    "cost.time_ns.conversion=1",
    "tile.rows=32",
    "tile.cols=16",
];

fn chip(more: &[&str], limit: usize) -> (ChipResult, Option<Spent>) {
    let (model, profile) = (model(), hardware(&[&PRICED[..], more].concat()));
    let open = |split| Dataset::open("digits", std::path::Path::new(""), split).unwrap();
    let data = open(Split::Test).limit(limit);
    let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
    let blueprint = with_ranges(blueprint, 1, || Ok(open(Split::Train))).unwrap();
    let price = Price::of(&blueprint);
    let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
    let mut found = None;
    let engine = CpuEngine::default();
    Evaluation::on(&engine, &data, encoder, model.steps)
        .series(&blueprint, 0..1, |_, result| {
            found = Some(result.clone());
            Ok(())
        })
        .unwrap();
    let result = found.unwrap();
    let spent = price.spent(&result.counts, limit, model.steps as f64, &result.sram_elements);
    assert_eq!(price.of_result(&result, model.steps).map(|(spent, _)| spent), spent);
    (result, spent)
}

fn spent(more: &[&str]) -> Spent {
    chip(more, 40).1.unwrap()
}

#[test]
fn events_are_those_of_the_layers() {
    let (result, spent) = chip(&[], 40);
    let spent = spent.unwrap();
    // conv1 of the digits: 9 rows on 1 tile, 16 columns on 1, 64 pixels, 4 steps, 1-bit inputs.
    let drives = result.counts.drives[0].iter().sum::<u64>() as f64 / 40.0;
    let conv1 = &spent.layers["conv1"];
    assert_eq!((conv1["word_line"], conv1["cell_read"]), (drives, 16.0 * drives));
    assert_eq!((conv1["adc"], conv1["fetch"], conv1["neuron"]), (4.0 * 64.0 * 16.0, 4.0 * 64.0, 4.0 * 64.0 * 16.0));
    // conv2, behind a pool: counts of 3 bits, 144 rows on 5 tiles, 32 columns on 2, 16 pixels.
    let conv2 = &spent.layers["conv2"];
    let passes = 4.0 * 16.0 * 3.0;
    assert_eq!((conv2["adc"], conv2["fetch"]), (passes * 5.0 * 32.0, passes * 10.0));
    let parts: f64 = spent.layers.values().flat_map(|layer| layer.values()).sum();
    assert!((parts - spent.total_pj).abs() < 1e-6 * parts);
    assert!((spent.spike_driven_pj + spent.static_pj - spent.total_pj).abs() < 1e-6 * parts);
    // The first layer's spikes drive as the encoder sends them: nine pixels around each, fewer at the edges.
    let sent = result.counts.input.iter().sum::<u64>() as f64 / 40.0;
    assert!(drives > 4.0 * sent && drives < 9.0 * sent, "{drives} of {sent}");
}

#[test]
fn joins_cost_an_addition_a_neuron_and_term() {
    let text = "name = \"m\"\nsteps = 3\nclasses = 4\ninput = { channels = 2, height = 6, width = 6 }\nnorm = \
                \"none\"\n\
                layers = [{ name = \"a\", conv = 5 }, { name = \"b\", conv = 5, add = \"a\", add_current = \"a\" }, \
                { name = \"s\", conv = 5, from = \"a\", joins = \"b\" }, \
                { name = \"c\", conv = 5, add_behind = [\"a\", \"b\"] }, \
                { name = \"r\", fc = 7, recurrent = true }]";
    let document = Document::parse_text(Path::new("m.toml"), text.into()).unwrap();
    let (model, profile) = (Model::from_document(&document).unwrap(), hardware(&PRICED));
    let plan = ChipPlan::new(&profile, &model, Encoding::Direct).unwrap();
    let (sites, maps): (Vec<_>, _) = (plan.sites().collect(), plan.maps());
    let none = (vec![0.0; sites.len()], vec![0; sites.len()]);
    let still = Activity { steps: 3.0, input: 0.0, spikes: &none.0, drives: &none.0, elements: &none.1 };
    let spent = Architecture::of(&plan).spent(&still).unwrap();
    // Of 5 x 36 neurons: b has a skip, a current and a second matrix; c sends two others' pulses beside its own; r's
    // own come back.
    let (neurons, expected) = (5.0 * 36.0, [("a", None), ("b", Some(3.0)), ("c", Some(2.0)), ("s", None)]);
    for (i, (layer, terms)) in [(0, expected[0]), (1, expected[1]), (3, expected[2]), (2, expected[3])] {
        assert_eq!(sites[i].name, layer);
        assert_eq!(spent.layers[layer].get("join").copied(), terms.map(|terms| 3.0 * neurons * terms), "{layer}");
        let area = area(&profile, sites[i], &maps[i]);
        assert_eq!(area.get("join").copied(), terms.map(|terms| maps[i].adcs as f64 * terms), "{layer}");
    }
    assert_eq!((spent.layers["r"]["join"], spent.layers["r_rec"].get("join")), (3.0 * 7.0, None));
    let unpriced = hardware(&PRICED.into_iter().filter(|key| !key.contains("join")).collect::<Vec<_>>());
    let unpriced = ChipPlan::new(&unpriced, &model, Encoding::Direct).unwrap();
    let left_out = Architecture::of(&unpriced).spent(&still).unwrap().left_out;
    assert!(left_out.contains(&"cost.energy_pj.join".to_owned()));
}

#[test]
fn early_exit_spends_what_each_image_does_up_to_its_own_step() {
    let (model, profile) = (model(), hardware(&PRICED));
    let open = |split| Dataset::open("digits", std::path::Path::new(""), split).unwrap();
    let data = open(Split::Test).limit(30);
    let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
    let blueprint = with_ranges(blueprint, 1, || Ok(open(Split::Train))).unwrap();
    let price = Price::of(&blueprint);
    let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
    let engine = CpuEngine::default();
    let chip = Chip::program(&blueprint, 0).unwrap();
    let on = |images: Vec<usize>, exit| {
        Evaluation::on(&engine, &data, encoder, model.steps).of_images(images).exiting(exit).run(&chip).unwrap()
    };
    let confident = on((0..30).collect(), Some(Exit::Confident(0.6)));
    let steps = &confident.exit.as_ref().unwrap().steps;
    assert!(steps.contains(&1) && steps.iter().any(|s| *s > 1), "{steps:?}");
    let one = |(image, steps): (usize, &usize)| {
        let counts = on(vec![image], None).counts.until(*steps);
        price.spent(&counts, 1, *steps as f64, &confident.sram_elements).unwrap()
    };
    let each: Vec<Spent> = steps.iter().enumerate().map(one).collect();
    let mean = |value: fn(&Spent) -> f64| each.iter().map(value).sum::<f64>() / 30.0;
    let together = price.of_result(&confident, model.steps).unwrap().0;
    for (found, expected) in [
        (together.total_pj, mean(|spent| spent.total_pj)),
        (together.spike_driven_pj, mean(|spent| spent.spike_driven_pj)),
        (together.latency_ns.unwrap(), mean(|spent| spent.latency_ns.unwrap())),
    ] {
        assert!((found - expected).abs() < 1e-9 * expected, "{found}, expected {expected}");
    }
}

#[test]
fn each_knob_costs_what_it_should() {
    let base = spent(&[]);
    let adc = |spent: &Spent| spent.layers.values().map(|layer| layer["adc"]).sum::<f64>();
    assert!(adc(&spent(&["tile.rows=16"])) > 1.5 * adc(&base), "more tiles along the rows, more conversions");
    let (tile, turns) = (spent(&["tile.rows=16"]), spent(&["tile.rows_at_once=16"]));
    assert_eq!(adc(&turns), adc(&tile), "rows that are driven in turns are converted as often as those of small tiles");
    let latency = |spent: &Spent| spent.latency_ns.unwrap();
    assert!(latency(&turns) > 1.3 * latency(&tile), "but one after the other: {turns:?} {tile:?}");
    let finer = spent(&["adc.bits=8"]);
    let buffers = |spent: &Spent| spent.layers.values().map(|layer| layer["tile_buffer"]).sum::<f64>();
    assert_eq!((adc(&finer), buffers(&finer)), (4.0 * adc(&base), buffers(&base) * 8.0 / 6.0), "two bits more");
    assert!(finer.adc_model.contains("from 6 to 8 bits"), "{}", finer.adc_model);
    assert!(spent(&["tile.inputs=pulses"]).static_pj < base.static_pj, "counts are converted once");
    let shared = spent(&["adc.columns_shared=8"]);
    assert!(shared.latency_ns > base.latency_ns && adc(&shared) == adc(&base), "shared converters take turns");
    let most = |shared: &str| spent(&[&format!("adc.columns_shared={shared}"), "tile.cols=16"]).latency_ns;
    assert_eq!(most("16"), most("100"), "no more turns than a tile has columns");
    let cells = ["rram.model=cell", "rram.cell.g_max_us=50"];
    let (pairs, slices) = (spent(&cells), spent(&[&cells[..], &["rram.cell.bits=1"]].concat()));
    assert!(adc(&pairs) == adc(&base) && adc(&slices) == 4.0 * adc(&pairs), "a conversion a slice: levels of 4 bits");
    // A companion array has a price by its bits; behind fine converters, so that spikes are as many.
    let array = |bits: &str| {
        let spent = spent(&["adc.bits=10", &format!("sram.bits={bits}")]);
        spent.layers.values().map(|layer| layer["sram_read_bit"]).sum::<f64>()
    };
    let (two, four) = (array("2"), array("4"));
    assert!(two > 0.0 && four > 1.5 * two, "{two} {four}");
    let ternary = spent(&["adc.bits=10", "sram.bits=4", "sram.scheme=ternary"]);
    let read: f64 = ternary.layers.values().map(|layer| layer["sram_read_bit"]).sum();
    assert!(read > 0.0 && read <= two, "two bits hold three values: {read} {two}");
    let residual = |bytes: &str| {
        let spent = spent(&["sram.bits=3", "sram.init=residual", &format!("sram.budget_bytes={bytes}")]);
        spent.layers.values().map(|layer| layer["sram_add"]).sum::<f64>()
    };
    assert!(residual("500") < 0.6 * residual("5000"), "what is not stored is not read");
}

#[test]
fn what_is_not_known_is_said() {
    assert!(chip(&["cost={}"], 4).1.is_none(), "no costs, no energy");
    let spent = spent(&[]);
    assert_eq!(spent.adc_model, "a test");
    assert!(spent.left_out.contains(&"cost.area_um2.htree".to_string()), "{:?}", spent.left_out);
    assert!(
        !spent.left_out.iter().any(|key| key.contains("sram") || key.contains("write_pulse")),
        "{:?}",
        spent.left_out
    );
    let ideal = chip(&["adc.bits=0"], 4).1.unwrap();
    assert!(ideal.adc_model.contains("ideal") && ideal.layers.values().all(|layer| layer["adc"] == 0.0));
}

#[test]
fn area_follows_tiles_and_converters() {
    let at = |more: &[&str]| {
        let (model, profile) = (model(), hardware(&[&PRICED[..], more].concat()));
        let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap();
        let areas = plan.sites().map(|site| area(&profile, site, &map(site)));
        areas.fold([0.0; 3], |sum, area| {
            let of = |part: &str| area.get(part).copied().unwrap_or(0.0);
            [sum[0] + of("cell"), sum[1] + of("adc"), sum[2] + of("sram_bit")]
        })
    };
    let (base, shared, array) = (at(&[]), at(&["adc.columns_shared=4"]), at(&["sram.bits=4"]));
    assert!(shared[1] < 0.5 * base[1] && shared[0] == base[0]);
    assert!(array[2] > 0.0 && base[2] == 0.0);
    assert!(at(&["rram.model=cell", "rram.cell.g_max_us=50"])[0] > base[0], "pairs take twice the cells");
}
