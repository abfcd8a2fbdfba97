//! `[rram.variation]` and `[rram.program]`: how far cells land from their targets, and how often they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::announced;
use crate::config::{Document, is_default};
use crate::error::Result;

/// `[rram.variation]`: how far a programmed cell lands from its target; see [`crate::device::variation`] and
/// [`crate::device::cell`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let variation = Profile::named("rram_4bit", &["rram.variation.scale=2".into()])?.rram.variation;
/// // Twice the published spread of ln(w/q) of 4-bit cells.
/// assert_eq!((variation.sigma, variation.scale), (0.34597, 2.0));
/// assert!(variation.varies());
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Variation {
    /// The distribution.
    pub kind: VariationKind,
    /// Standard deviation: of ln(w/q) or ln(G/target) for `lognormal`, of w/q or G/target for `gaussian`.
    /// Dimensionless.
    pub sigma: f64,
    /// Standard deviation of G for `gaussian` in place of `sigma`, in microsiemens.
    pub sigma_us: f64,
    /// Standard deviations of ln(w/q) or ln(G/target) for `per_level`, from level 1 on; higher levels have the last,
    /// level 0 the first.
    pub levels: Vec<f64>,
    /// For `polynomial`: the standard deviation in microsiemens is `Σ coefficients[i]·G^i`, not below 0, G in
    /// microsiemens.
    pub coefficients: Vec<f64>,
    /// The conductances that the polynomial was fitted to, in microsiemens.
    pub fitted_us: Option<[f64; 2]>,
    /// For `table`: a CSV file of columns g_us, mean_us, sigma_us.
    #[serde(skip_serializing)]
    pub file: Option<String>,
    /// For `table`: its rows of target, mean and standard deviation in microsiemens, by rising target.
    pub table: Vec<[f64; 3]>,
    /// Standard deviation of ln G that all chips of a seed, one lot, share.
    pub lot_sigma: f64,
    /// Standard deviation of ln G that all cells of a chip share.
    pub die_sigma: f64,
    /// Standard deviation of ln G that all cells of a tile share.
    pub tile_sigma: f64,
    /// Standard deviation of ln G that is correlated between neighbours on a tile, the less the farther they are from
    /// each other.
    #[serde(skip_serializing_if = "is_default")]
    pub neighbour_sigma: f64,
    /// The distance, in cells along a word line or a bit line, over which the correlation of neighbours falls to 1/e.
    #[serde(skip_serializing_if = "is_default")]
    pub neighbour_cells: f64,
    /// Multiplies all of them; what designers sweep.
    pub scale: f64,
}

impl Default for Variation {
    fn default() -> Self {
        Variation {
            kind: VariationKind::None,
            sigma: 0.0,
            sigma_us: 0.0,
            levels: vec![],
            coefficients: vec![],
            fitted_us: None,
            file: None,
            table: vec![],
            lot_sigma: 0.0,
            die_sigma: 0.0,
            tile_sigma: 0.0,
            neighbour_sigma: 0.0,
            neighbour_cells: 0.0,
            scale: 1.0,
        }
    }
}

impl Variation {
    /// Whether cells differ from their targets at all.
    pub fn varies(&self) -> bool {
        let spread = match self.kind {
            VariationKind::None => false,
            VariationKind::Lognormal | VariationKind::Gaussian => self.sigma != 0.0 || self.sigma_us != 0.0,
            VariationKind::PerLevel => self.levels.iter().any(|sigma| *sigma != 0.0),
            VariationKind::Polynomial | VariationKind::Table => true,
        };
        self.scale != 0.0 && (spread || self.components().iter().any(|sigma| *sigma != 0.0))
    }

    /// Takes the rows of the file that a section names.
    pub(super) fn read_table(&mut self, document: &Document, section: &str) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let own = format!("{section}.variation.file");
        let written = document.table_at(&own).is_some();
        let key = if written { own } else { "rram.variation.file".into() };
        if !self.table.is_empty() {
            return Err(document
                .error(&key, "stands beside `table`, which holds the rows of such a file; leave one of them out"));
        }
        let path = document.base(&key).join(file);
        announced::reading(&path)?;
        let failed = |what: String| document.error(&key, format!("{}: {what}", path.display()));
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_path(&path);
        let reader = reader.as_mut().map_err(|e| failed(e.to_string()))?;
        let header = reader.headers().map_err(|e| failed(e.to_string()))?.clone();
        let column = |name: &str| header.iter().position(|column| column == name);
        let [Some(target), Some(mean), Some(sigma)] = ["g_us", "mean_us", "sigma_us"].map(column) else {
            let found = header.iter().collect::<Vec<_>>().join(", ");
            return Err(failed(format!("line 1: expected the columns g_us, mean_us and sigma_us; found {found}")));
        };
        if let Some(other) = (0..header.len()).find(|column| ![target, mean, sigma].contains(column)) {
            return Err(failed(format!(
                "line 1: the column `{}` has no meaning; expected g_us, mean_us and sigma_us",
                &header[other]
            )));
        }
        for record in reader.records() {
            let record = record.map_err(|e| failed(e.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let number = |column: usize| match record[column].parse::<f64>() {
                Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
                _ => Err(failed(format!(
                    "line {line}: {} is `{}`, expected a finite number of microsiemens, 0 or more",
                    &header[column], &record[column]
                ))),
            };
            self.table.push([number(target)?, number(mean)?, number(sigma)?]);
        }
        Ok(())
    }

    /// The parts that lot, die, tile and neighbours share: standard deviations of ln G, before they are scaled.
    pub fn components(&self) -> [f64; 4] {
        [self.lot_sigma, self.die_sigma, self.tile_sigma, self.neighbour_sigma]
    }
}

/// The distribution of programming variation.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::VariationKind;
///
/// assert_eq!(Profile::named("rram_4bit", &[])?.rram.variation.kind, VariationKind::Lognormal);
/// assert_eq!(Profile::named("spikesim_65nm", &[])?.rram.variation.kind, VariationKind::PerLevel);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VariationKind {
    /// Cells hold their target.
    #[default]
    None,
    /// `w = q·exp(N(0, σ))`, or the same of conductances.
    Lognormal,
    /// `w = q·(1 + N(0, σ))`, or the same of conductances.
    Gaussian,
    /// Lognormal, σ by level.
    PerLevel,
    /// Gaussian, σ a polynomial of the conductance.
    Polynomial,
    /// Gaussian, mean and σ from a table of conductances.
    Table,
}

/// `[rram.program]`: write and verify, of `model = "cell"`.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Session, Split};
/// use crosspike::Profile;
///
/// # let pulses = |profile: &Profile| -> crosspike::Result<u64> {
/// #     let data = Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20);
/// #     let model = Model::named("digits", &[])?;
/// #     let network = Network::xavier(&model, 1);
/// #     Ok(Session::open(profile, model, network, &data, Options::default())?.program(0)?.write_pulses)
/// # };
/// let once = Profile::named("rram_milo_2021", &[])?;
/// let verified = Profile::named("rram_milo_2021", &["rram.program.tolerance_us=2".into()])?;
/// assert_eq!(verified.rram.program.most_pulses, 20);
/// assert!(pulses(&verified)? > 2 * pulses(&once)?); // The write_pulses of a chip.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Programming {
    /// A cell is written again until it lands this near to its target, in microsiemens; 0: it is written once.
    pub tolerance_us: f64,
    /// Pulses after which it is left as it is.
    pub most_pulses: u32,
    /// The share of a layer's cells that are verified, 1 where it is left out: those whose deviation moves sums most,
    /// by the inputs of rows on training images. The others are written once.
    #[serde(skip_serializing_if = "is_all")]
    pub verify_share: f64,
}

fn is_all(share: &f64) -> bool {
    *share == 1.0
}

impl Default for Programming {
    fn default() -> Self {
        Programming { tolerance_us: 0.0, most_pulses: 20, verify_share: 1.0 }
    }
}
