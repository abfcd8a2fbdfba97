//! What is shipped is what was published: models at their sizes, profiles with their σ.

use std::path::Path;

use crosspike::config::{Document, Overrides};
use crosspike::network::Model;
use crosspike::profile::{Profile, Scheme, VariationKind};
use crosspike::study::recipe::{Recipe, RecipeFile};
use crosspike::study::search::SearchFile;
use crosspike::study::sensitivity::SensitivityFile;
use crosspike::study::sweep::{Chips, SweepFile};
use crosspike::train::config::TrainFile;

fn root(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(recipe: &str) -> Document {
    Document::read(&root(&format!("recipes/{recipe}.toml"))).unwrap()
}

/// A model's name, its steps, and columns and rows of every matrix.
type Sizes = (&'static str, usize, &'static [(usize, usize)]);

#[test]
fn models_have_their_published_layers() {
    // From the layer widths of BNTT (arXiv:2010.01729) on 3x32x32 images.
    let cases: [Sizes; 6] = [
        ("vgg5", 20, &[(64, 27), (128, 576), (128, 1152), (1024, 8192), (10, 1024)]),
        (
            "vgg9",
            20,
            &[
                (64, 27),
                (64, 576),
                (128, 576),
                (128, 1152),
                (256, 1152),
                (256, 2304),
                (256, 2304),
                (1024, 4096),
                (10, 1024),
            ],
        ),
        (
            "vgg11",
            30,
            &[
                (64, 27),
                (128, 576),
                (256, 1152),
                (256, 2304),
                (512, 2304),
                (512, 4608),
                (512, 4608),
                (512, 4608),
                (4096, 512),
                (100, 4096),
            ],
        ),
        (
            "vgg19",
            30,
            &[
                (64, 27),
                (64, 576),
                (128, 576),
                (128, 1152),
                (256, 1152),
                (256, 2304),
                (256, 2304),
                (256, 2304),
                (512, 2304),
                (512, 4608),
                (512, 4608),
                (512, 4608),
                (512, 4608),
                (512, 4608),
                (512, 4608),
                (512, 4608),
                (1024, 512),
                (10, 1024),
            ],
        ),
        ("digits", 8, &[(16, 9), (32, 144), (64, 128), (10, 64)]),
        ("fashion", 8, &[(16, 9), (32, 144), (32, 288), (256, 1568), (10, 256)]),
    ];
    for (name, steps, expected) in cases {
        let model = Model::read(&root(&format!("models/{name}.toml")), &[]).unwrap();
        let found: Vec<_> = model.layers().iter().map(|l| (l.columns(), l.rows())).collect();
        assert_eq!((model.steps, found.as_slice()), (steps, expected), "{name}");
    }
}

#[test]
fn recipes_name_what_is_shipped() {
    let mut models = Vec::new();
    for name in ["fashion", "cifar10"] {
        let file = TrainFile::from_document(&read(name)).unwrap();
        Profile::read(&file.profile.unwrap(), &[]).unwrap();
        models.push(Model::read(&file.model, &[]).unwrap().name);
    }
    let (file, points) = SweepFile::from_document(&read("fashion_variation")).unwrap();
    Profile::read(&file.profile.unwrap(), &[]).unwrap();
    models.push(Model::read(&file.model, &[]).unwrap().name);
    assert_eq!(
        (models, points.len(), file.chips),
        (vec!["fashion".into(), "vgg5".into(), "fashion".into()], 3, Chips::Fixed(20))
    );
}

#[test]
fn the_hardware_study_sweeps_the_whole_chip() {
    for (name, expected) in [("adc", 6), ("rows", 5), ("wires", 16), ("off", 6), ("stuck", 16)] {
        let (file, points) = SweepFile::from_document(&read(&format!("fashion_hardware_{name}"))).unwrap();
        assert_eq!((points.len(), file.chips), (expected, Chips::Fixed(20)), "{name}");
        let profile = file.profile.unwrap();
        let keys = |point: &[(String, toml::Value)]| {
            point.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        for point in &points {
            let profile = Profile::read(&profile, &keys(point)).unwrap();
            assert!(profile.cost.any() && profile.converts(), "{name}");
        }
    }
}

/// The shipped files that have a key of their kind.
fn with(key: &str) -> Vec<String> {
    let files = std::fs::read_dir(root("recipes")).unwrap().map(|entry| entry.unwrap().path());
    let names = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_string());
    names.filter(|name| read(name).table().contains_key(key)).collect()
}

#[test]
fn pipelines_are_whole() {
    // Reading validates every stage, point and training of a pipeline; its data are there where the package is.
    let names = with("stage");
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let file = RecipeFile::from_document(&read(&name)).unwrap();
        if name.starts_with("fashion") && Path::new("/usr/share/datasets/fashion-mnist").exists() {
            Recipe::read(&root(&format!("recipes/{name}.toml")), &Overrides::default()).unwrap();
        }
        assert!(file.model.exists() && file.profiles.iter().all(|profile| profile.exists()), "{name}");
    }
}

#[test]
fn sweeps_have_chips_at_every_point() {
    let (searches, probes) = (with("space"), with("probe"));
    let names: Vec<String> =
        with("checkpoint").into_iter().filter(|name| !searches.contains(name) && !probes.contains(name)).collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let (file, points) = SweepFile::from_document(&read(&name)).unwrap();
        let profile = file.profile.unwrap();
        for point in points {
            let keys: Vec<String> = point.iter().map(|(key, value)| format!("{key}={value}")).collect();
            Profile::read(&profile, &keys).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(file.chips == Chips::Fixed(20) && file.model.exists(), "{name}");
    }
}

#[test]
fn searches_and_studies_of_sensitivity_are_whole() {
    let (searches, probes) = (with("space"), with("probe"));
    assert!(searches.len() >= 2 && !probes.is_empty(), "{searches:?} {probes:?}");
    for name in searches {
        let file = SearchFile::from_document(&read(&name)).unwrap();
        assert!(file.model.exists() && file.profile.unwrap().exists(), "{name}");
    }
    for name in probes {
        let file = SensitivityFile::from_document(&read(&name)).unwrap();
        assert!(file.model.exists() && file.profile.unwrap().exists(), "{name}");
    }
}

#[test]
fn profiles_carry_the_published_sigma() {
    for (bits, sigma) in [(1, 0.08164), (2, 0.12542), (3, 0.2062), (4, 0.34597), (8, 0.369039)] {
        let profile = Profile::read(&root(&format!("hw_profiles/rram_{bits}bit.toml")), &[]).unwrap();
        let variation = profile.rram.variation;
        assert_eq!((profile.rram.weight_bits, variation.sigma, variation.scale), (bits, sigma, 1.0));
        assert_eq!((variation.kind, profile.rram.scheme), (VariationKind::Lognormal, Scheme::Uniform));
        assert!(profile.source.contains("10.1109/TCAD.2022.3197516"));
    }
    let ideal = Profile::read(&root("hw_profiles/ideal.toml"), &[]).unwrap();
    assert_eq!(ideal.rram, Profile::ideal(&[]).unwrap().rram);
}

#[test]
fn a_tile_of_silicon_has_the_efficiency_that_was_measured_within_a_factor() {
    use crosspike::system::tile::tile_efficiency;
    // NeuRRAM's geometry with the 65 nm constants: 256 x 256 devices in pairs, one bit in. Measured at 130 nm: 43.08
    // TOPS/W.
    let keys = ["tile.rows=256", "tile.cols=256"].map(String::from);
    let profile = Profile::read(&root("hw_profiles/spikesim_65nm.toml"), &keys).unwrap();
    let found = tile_efficiency(&profile).unwrap();
    assert!((20.0..90.0).contains(&found), "{found} TOPS/W");
}

#[test]
fn cell_profiles_have_their_published_spread() {
    use crosspike::device::conductance::polynomial;
    // Name, range in µS, and σ at some conductances, all in µS: the check values of the published fits.
    for (name, range, spread) in [
        ("rram_milo_2021", [50.0, 225.0], &[(50.0, 4.327), (225.0, 2.733)][..]),
        ("rram_wan_2022", [1.0, 39.26], &[(0.0, 1.053), (10.0, 2.414), (39.26, 1.681)]),
        ("hfox_cmo_tight", [9.0, 88.2], &[(9.0, 0.0104), (88.2, 0.0951)]),
        ("hfox_cmo_loose", [9.0, 88.2], &[(9.0, 0.1128), (88.2, 1.0070)]),
        ("pcm_joshi_2020", [0.25, 25.0], &[(0.0, 0.2864), (25.0, 1.0655)]),
    ] {
        let profile = Profile::read(&root(&format!("hw_profiles/{name}.toml")), &[]).unwrap();
        let (cell, variation) = (&profile.rram.cell, &profile.rram.variation);
        assert_eq!([cell.lowest_us(), cell.g_max_us], range, "{name}");
        assert!(profile.source.len() > 100, "{name} names its source");
        for (g, expected) in spread {
            let found = polynomial(&variation.coefficients, *g);
            assert!((found - expected).abs() < 6e-4, "{name}: σ({g}) = {found}, expected {expected}");
        }
    }
}

#[test]
fn schemas_are_those_of_this_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for kind in ["profile", "model", "train", "sweep", "recipe", "search", "sensitivity"] {
        for (option, file) in
            [(None, format!("schemas/{kind}.json")), (Some("--markdown"), format!("docs/keys/{kind}.md"))]
        {
            let mut command = assert_cmd::Command::cargo_bin("crosspike").unwrap();
            let output = command.args(["schema", kind]).args(option).output().unwrap();
            let shipped = std::fs::read_to_string(root.join(&file)).unwrap();
            let words = option.unwrap_or_default();
            assert!(output.stdout == shipped.as_bytes(), "crosspike schema {kind} {words} > {file}");
        }
    }
}
