//! The files that come within the binary: hardware, models, and the recipes, sweeps and searches of the documentation.
//! A command finds them by their paths in the project from any folder, unless a file stands there, and by these paths
//! behind `crosspike:` even then.

use std::path::{Component, Path};

macro_rules! texts {
    ($folder:literal: $($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../", $folder, "/", $name, ".toml")))),*]
    };
}

/// Profiles: names and texts, in the order of the alphabet.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::{DeviceModel, shipped::PROFILES};
///
/// let mut of_cells = vec![];
/// for (name, _) in PROFILES {
///     of_cells.extend((Profile::named(name, &[])?.rram.model == DeviceModel::Cell).then_some(name));
/// }
/// assert_eq!(of_cells.len(), 8); // Five published cells, and three whole chips.
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const PROFILES: [(&str, &str); 15] = texts![
    "hw_profiles":
    "hfox_cmo_loose",
    "hfox_cmo_tight",
    "ideal",
    "isaac_32nm",
    "neurram_130nm",
    "pcm_joshi_2020",
    "rram_1bit",
    "rram_2bit",
    "rram_3bit",
    "rram_4bit",
    "rram_8bit",
    "rram_milo_2021",
    "rram_wan_2022",
    "spikesim_65nm",
    "yao_28nm",
];

/// Models: names and texts, in the order of the alphabet.
///
/// # Examples
/// ```
/// use crosspike::{Dataset, MODELS, Model, Split};
///
/// let data = Dataset::open("digits", "".as_ref(), Split::Test)?;
/// let mut fitting = vec![];
/// for (name, _) in MODELS {
///     fitting.extend((Model::named(name, &[])?.input == data.shape()).then_some(name));
/// }
/// assert_eq!(fitting, ["digits"]);
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const MODELS: [(&str, &str); 14] = texts![
    "models":
    "depthwise",
    "digits",
    "fashion",
    "ms_resnet20",
    "recurrent",
    "resnet18",
    "resnet20",
    "sew_resnet20",
    "snntorch_mnist",
    "spikesim_vgg9",
    "vgg11",
    "vgg19",
    "vgg5",
    "vgg9",
];

/// Recipes, trainings, sweeps, searches and rankings: names and texts, in the order of the alphabet.
pub const RECIPES: [(&str, &str); 30] = texts![
    "recipes":
    "cifar10",
    "cifar10_recovery",
    "cifar10_resnet20",
    "cifar10_resnet20_float",
    "digits_converters",
    "digits_disturb",
    "digits_search",
    "digits_sensitivity",
    "digits_system",
    "digits_temperature",
    "fashion",
    "fashion_65nm_recovery",
    "fashion_ablation",
    "fashion_attack",
    "fashion_bytes",
    "fashion_hardware_adc",
    "fashion_hardware_off",
    "fashion_hardware_rows",
    "fashion_hardware_stuck",
    "fashion_hardware_wires",
    "fashion_pruning",
    "fashion_recovery",
    "fashion_resolution",
    "fashion_search",
    "fashion_shift",
    "fashion_stuck",
    "fashion_variation",
    "quickstart",
    "resnet20_bytes",
    "resnet20_stuck",
];

/// The folders of the project with the files in them.
const FOLDERS: [(&str, &[(&str, &str)]); 3] = [("hw_profiles", &PROFILES), ("models", &MODELS), ("recipes", &RECIPES)];

/// The paths of all files in the project.
pub fn paths() -> impl Iterator<Item = String> {
    let of_folder = |(folder, files): (&'static str, &'static [(&str, &str)])| {
        files.iter().map(move |(name, _)| format!("{folder}/{name}.toml"))
    };
    FOLDERS.into_iter().flat_map(of_folder)
}

/// The mark before the path of a file that comes with crosspike, whatever files the current folder has.
pub const WITHIN: &str = "crosspike:";

/// Whether a path names a file that comes with crosspike, and no other.
pub fn is_within(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains(WITHIN))
}

/// The text of the shipped file of this path in the project, such as `models/digits.toml`; none where there is no such
/// file. A path may go back, as `recipes/../models/digits.toml`. Models and profiles that the text names are shipped
/// ones, whatever files the current folder has; data and checkpoints in it start from there.
pub fn text(path: &Path) -> Option<String> {
    let path = path.to_str()?;
    let path = Path::new(path.rsplit_once(WITHIN).map_or(path, |(_, within)| within));
    let mut parts: Vec<&str> = vec![];
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = parts.pop()?,
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let [folder, file] = parts[..] else { return None };
    let (_, all) = FOLDERS.into_iter().find(|(known, _)| *known == folder)?;
    let name = file.strip_suffix(".toml")?;
    let (_, text) = all.iter().find(|(known, _)| *known == name)?;
    let named = ["models/", "hw_profiles/"]
        .iter()
        .fold(text.to_string(), |text, folder| text.replace(&format!("\"../{folder}"), &format!("\"{WITHIN}{folder}")));
    Some(named.replace("\"../", "\"").replace(":../", ":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folders_is_within_the_binary() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (folder, all) in FOLDERS {
            let files = std::fs::read_dir(project.join(folder)).unwrap();
            let mut files: Vec<String> =
                files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            files.sort();
            assert_eq!(all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), files, "{folder}");
        }
    }

    #[test]
    fn a_path_is_one_of_the_project_or_none() {
        let digits = text(Path::new("models/digits.toml")).unwrap();
        for same in ["./models/digits.toml", "recipes/../models/digits.toml", "own/crosspike:models/digits.toml"] {
            assert_eq!(text(Path::new(same)).as_ref(), Some(&digits), "{same}");
        }
        for other in
            ["digits.toml", "/models/digits.toml", "own/models/digits.toml", "../models/digits.toml", "models/digits"]
        {
            assert_eq!(text(Path::new(other)), None, "{other}");
        }
    }
}
