//! The profiles that come with crosspike, by name.

use std::path::Path;

use crate::config::Document;
use crate::error::{Error, Result};

macro_rules! profiles {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../../hw_profiles/", $name, ".toml")))),*] };
}

/// Names and texts, in the order of the alphabet.
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
pub const PROFILES: [(&str, &str); 15] = profiles![
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

/// A shipped profile by its name, or the profile file of a path.
///
/// # Errors
/// Where there is neither.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::shipped;
///
/// let mut document = shipped::document("rram_4bit")?;
/// document.set("sram.bits=2")?;
/// assert!(Profile::from_document(&document)?.has_companions());
/// assert!(shipped::document("rram_5bit").is_err());
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn document(name: &str) -> Result<Document> {
    let path = Path::new(name);
    if let Some((name, text)) = PROFILES.iter().find(|(shipped, _)| *shipped == name) {
        return Document::parse_text(Path::new(&format!("hw_profiles/{name}.toml")), (*text).to_owned());
    }
    if path.extension().is_some() || path.exists() {
        return Document::read(path);
    }
    let known: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
    Err(Error::Usage(format!("`{name}` is no profile: expected a profile file, or one of {}", known.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn every_profile_of_the_folder_is_here_and_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        assert_eq!(PROFILES.map(|(name, _)| name).to_vec(), files);
        for (name, _) in PROFILES {
            Profile::from_document(&document(name).unwrap()).unwrap();
        }
        let error = document("rram_5bit").unwrap_err().to_string();
        assert!(error.contains("`rram_5bit` is no profile") && error.contains("rram_4bit"), "{error}");
    }
}
