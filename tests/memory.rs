//! Work that does not fit the memory there is, refused before it begins.

mod common;

use std::path::Path;

use crosspike::chip::Blueprint;
use crosspike::config::Document;
use crosspike::data::{Dataset, Split};
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::network::{Encoder, Encoding, Model, Network};

/// What a series of chips of a small model says over so many steps, on images of so many pixels across, with these
/// keys.
fn series((steps, side): (usize, usize), keys: &[&str]) -> Result<(), String> {
    let text = format!(
        "name = \"m\"\nsteps = {steps}\nclasses = 10\ninput = {{ channels = 1, height = {side}, width = {side} \
         }}\nlayers = [{{ fc = 128 }}]\n"
    );
    let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap();
    let cells =
        ["rram.layers=all", "rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=8", "rram.cell.bits=1"];
    let profile = common::profile(&[&cells[..], keys].concat());
    let network = Network::xavier(&model, 1);
    let blueprint =
        Blueprint::new(&profile, &model, &network, Encoding::Direct, 1).map_err(|error| error.to_string())?;
    let data = Dataset::open("digits", Path::new("."), Split::Test).unwrap();
    let engine = CpuEngine::default();
    let encoder = Encoder::new(Encoding::Direct, model.input, 1, 0);
    let evaluation = Evaluation::on(&engine, &data, encoder, steps).of_images(vec![0; 10_000]).batches_of(10_000);
    evaluation.series(&blueprint, 0..1, |_, _| Ok(())).map_err(|error| error.to_string())
}

#[test]
fn chips_and_images_that_do_not_fit_are_refused_before_they_take_memory() {
    series((1, 8), &["rram.read.sigma=0.1"]).unwrap();
    let error = series((1024, 512), &["rram.read.sigma=0.1"]).unwrap_err();
    assert!(
        error.contains("every step reads its cells afresh ([rram.read])") && error.contains("fewer model.steps"),
        "{error}"
    );
    let error = series((1024, 512), &[]).unwrap_err();
    assert!(
        error.contains("running this many images at once (10000) needs some") && error.contains("a lower --batch"),
        "{error}"
    );
}
