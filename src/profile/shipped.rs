//! The profiles that come with crosspike, by name.

use std::path::Path;

use crate::config::Document;
use crate::error::{Error, Result};
pub use crate::shipped::PROFILES;

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
    fn every_profile_is_valid_and_a_name_that_is_none_is_said() {
        for (name, _) in PROFILES {
            Profile::from_document(&document(name).unwrap()).unwrap();
        }
        let error = document("rram_5bit").unwrap_err().to_string();
        assert!(error.contains("`rram_5bit` is no profile") && error.contains("rram_4bit"), "{error}");
    }
}
