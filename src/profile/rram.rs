//! `[rram]`: how weights become cells, and what makes a cell differ from its target.

use super::{Access, Disturb, Drift, Endurance, Temperature};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::announced;
use crate::config::{Document, is_default};
use crate::error::Result;

/// `[rram]`: how weights become cells.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let rram = Profile::named("rram_4bit", &["rram.weight_bits=2".into()])?.rram;
/// assert_eq!((rram.weight_bits, rram.variation.sigma), (2, 0.34597));
/// assert!(rram.varies());
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rram {
    /// Bits of a weight; 0 keeps it a float.
    pub weight_bits: u32,
    /// The quantiser.
    pub scheme: Scheme,
    /// Which layers stand on RRAM tiles; the others are exact digital float.
    pub layers: Layers,
    /// Bits, with the sign, that programmed weights are rounded to, of the largest of their layer; 0: as many as exact
    /// sums allow, some 17. With 8 a weight has one digit where it had two or three, and its sums are made faster.
    #[serde(skip_serializing_if = "is_default")]
    pub resolution_bits: u32,
    /// The level of the device model.
    pub model: DeviceModel,
    /// Programming variation.
    pub variation: Variation,
    /// The cells, where conductances are modelled.
    pub cell: Cell,
    /// How cells are programmed.
    pub program: Programming,
    /// Cells and lines that do not work.
    pub faults: Faults,
    /// What time does to programmed cells.
    pub drift: Drift,
    /// The temperature that chips run at.
    #[serde(skip_serializing_if = "is_default")]
    pub temperature: Temperature,
    /// Reads: their voltage and length, and how far one lands from a cell's conductance.
    pub read: Read,
    /// What stands in series with a cell, and how its current depends on the voltage.
    #[serde(skip_serializing_if = "is_default")]
    pub access: Access,
    /// What reads do to cells over a life of images.
    #[serde(skip_serializing_if = "is_default")]
    pub disturb: Disturb,
    /// What writing does to cells over a life of programmings.
    #[serde(skip_serializing_if = "is_default")]
    pub endurance: Endurance,
    /// A question, not a chip: the cells that are taken for perfect.
    #[serde(skip_serializing_if = "is_default")]
    pub exact: Exact,
}

/// `[rram.exact]`: cells that are taken for those of a chip without variation and faults. No chip has them: what they
/// win is what these cells cost.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let keys = ["layer.conv1.rram.exact.rows=[0, 128]", "layer.conv1.rram.exact.columns=[3, 4]"].map(String::from);
/// let exact = Profile::named("rram_4bit", &keys)?.rram_of("conv1").exact.clone();
/// assert!(exact.holds(127, 3) && !exact.holds(128, 3) && !exact.holds(0, 4)); // Rows 0 to 127 of column 3.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exact {
    /// The first row of its layer's matrix, and the one behind the last; absent: all rows, where columns are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<[usize; 2]>,
    /// The first column, and the one behind the last; absent: all columns, where rows are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<[usize; 2]>,
}

impl Exact {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.rows.is_some() || self.columns.is_some()
    }

    /// Whether a cell is one.
    pub fn holds(&self, row: usize, column: usize) -> bool {
        let within =
            |range: Option<[usize; 2]>, place: usize| range.is_none_or(|[from, to]| (from..to).contains(&place));
        self.any() && within(self.rows, row) && within(self.columns, column)
    }
}

/// A weight quantiser; see [`crate::device::quantise`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::Scheme;
///
/// let rram = Profile::named("rram_4bit", &["rram.scheme=dorefa".into()])?.rram;
/// assert_eq!(rram.effective_scheme(), Scheme::Dorefa);
/// assert_eq!(Profile::ideal(&[])?.rram.effective_scheme(), Scheme::Float); // It has no weight_bits.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `2^k` uniform levels on [−1, 1], without a zero; weights beyond go on with levels that k bits do not hold.
    #[default]
    Uniform,
    /// Signed integers with a zero.
    Integer,
    /// −α, 0, α.
    Ternary,
    /// DoReFa (arXiv:1606.06160).
    Dorefa,
    /// No quantisation; bits are ignored.
    Float,
}

/// The layers that stand on RRAM.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::Layers;
///
/// let profile = Profile::named("rram_4bit", &["rram.layers=all".into(), "layer.conv1.rram.layers=none".into()])?;
/// assert_eq!(profile.rram.layers, Layers::All);
/// assert_eq!(profile.rram_of("conv1").layers, Layers::None);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layers {
    /// The convolutions.
    #[default]
    Conv,
    /// Every layer, the readout included.
    All,
    /// None; in the section of one layer, not that one.
    None,
}

/// The level at which a device is modelled.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::DeviceModel;
///
/// assert_eq!(Profile::named("rram_4bit", &[])?.rram.model, DeviceModel::Weight);
/// assert_eq!(Profile::named("rram_wan_2022", &[])?.rram.model, DeviceModel::Cell);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceModel {
    /// Statistical: variation acts on the signed weight.
    #[default]
    Weight,
    /// Physical: every device has a conductance.
    Cell,
}

/// `[rram.cell]`: conductances of `model = "cell"`; see [`crate::device::cell`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let cell = Profile::named("pcm_joshi_2020", &[])?.rram.cell;
/// assert_eq!((cell.g_max_us, cell.on_off_ratio), (25.0, Some(100.0)));
/// assert_eq!(cell.lowest_us(), 0.25);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cell {
    /// The conductance of the highest level, in microsiemens.
    pub g_max_us: f64,
    /// The conductance of level 0, in microsiemens; absent: as `on_off_ratio` says, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub g_min_us: Option<f64>,
    /// The highest conductance over the lowest, in place of `g_min_us`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "finite_or_text")]
    pub on_off_ratio: Option<f64>,
    /// The conductances that a cell can be programmed to, rising, in microsiemens, in place of `g_max_us`: targets are
    /// the nearest of them, and of a pair those whose difference is nearest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub levels_us: Vec<f64>,
    /// Bits of a cell; wider weights take several, least significant first. 0: a device holds every level.
    pub bits: u32,
    /// How a signed weight becomes conductances.
    pub mapping: CellMapping,
}

/// How a signed weight becomes conductances.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::CellMapping;
///
/// let profile = Profile::named("rram_wan_2022", &["rram.cell.mapping=offset".into()])?;
/// assert_eq!(profile.rram.cell.mapping, CellMapping::Offset);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellMapping {
    /// A differential pair, of which one device holds the magnitude and the other stays at level 0.
    #[default]
    OneSided,
    /// A differential pair whose devices move from the middle in opposite directions.
    TwoSided,
    /// One device, raised so that no weight is negative, and a unit column that is subtracted from all others of its
    /// tile.
    Offset,
}

/// `[rram.variation]`: how far a programmed cell lands from its target; see [`crate::device::variation`] and
/// [`crate::device::cell`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let variation = Profile::named("rram_4bit", &["rram.variation.scale=2".into()])?.rram.variation;
/// assert_eq!((variation.sigma, variation.scale), (0.34597, 2.0)); // Twice the published spread of ln(w/q) of 4-bit cells.
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

    /// What lot, die, tile and neighbours share: standard deviations of ln G, before they are scaled.
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
/// #     let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
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

/// `[rram.faults]`: shares of cells and lines that do not work, of `model = "cell"`.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let faults = Profile::named("rram_wan_2022", &["rram.faults.stuck_on=0.01".into()])?.rram.faults;
/// assert!(faults.any());
/// assert_eq!((faults.stuck_on, faults.stuck_off), (0.01, 0.0));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Cells stuck at the lowest conductance.
    pub stuck_off: f64,
    /// Cells stuck at the highest.
    pub stuck_on: f64,
    /// Word lines of a tile that never drive their cells.
    pub dead_word_lines: f64,
    /// Bit lines of a tile that carry no current.
    pub dead_bit_lines: f64,
    /// Whether a test finds the stuck cells before programming, so that the other cell of a pair makes up for its stuck
    /// one, as far as its range goes.
    #[serde(skip_serializing_if = "is_default")]
    pub compensate: bool,
    /// Spare columns of weights on every tile, beside its `tile.cols`: a test moves the columns there that stuck cells
    /// and dead lines hurt most.
    #[serde(skip_serializing_if = "is_default")]
    pub spares: usize,
    /// What a test may move to other lines of its tile before programming, so that stuck cells and dead lines meet
    /// weights that they hurt least.
    #[serde(skip_serializing_if = "is_default")]
    pub remap: Remap,
}

/// What a test may move to other lines of its tile.
///
/// # Examples
/// ```
/// use crosspike::profile::{Profile, Remap};
///
/// let keys = ["rram.faults.stuck_on=0.01", "rram.faults.remap=columns"].map(String::from);
/// assert_eq!(Profile::named("rram_wan_2022", &keys)?.rram.faults.remap, Remap::Columns);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remap {
    /// Nothing but what spare columns take.
    #[default]
    None,
    /// Columns of weights.
    Columns,
    /// Rows of weights.
    Rows,
    /// Columns, and then rows.
    Both,
}

impl Remap {
    /// Whether columns are moved.
    pub fn moves_columns(self) -> bool {
        matches!(self, Remap::Columns | Remap::Both)
    }

    /// Whether rows are moved.
    pub fn moves_rows(self) -> bool {
        matches!(self, Remap::Rows | Remap::Both)
    }
}

impl Faults {
    /// The most spare columns that a tile has.
    pub const MOST_SPARES: usize = 1024;

    /// Whether there are any.
    pub fn any(&self) -> bool {
        let Faults { stuck_off, stuck_on, dead_word_lines, dead_bit_lines, .. } = *self;
        [stuck_off, stuck_on, dead_word_lines, dead_bit_lines].iter().any(|share| *share != 0.0)
    }

    /// Spare columns that a tile has: none where everything works.
    pub fn spare_columns(&self) -> usize {
        if self.any() { self.spares } else { 0 }
    }

    /// Whether a test moves weights away from them.
    pub fn move_weights(&self) -> bool {
        self.spare_columns() > 0 || self.any() && self.remap != Remap::None
    }
}

/// `[rram.read]`: the reads of `model = "cell"`, and a fresh draw for each: `G·(1 + N(0, sigma)) + N(0, sigma_us)`.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let read = Profile::named("rram_wan_2022", &["rram.read.sigma=0.02".into()])?.rram.read;
/// assert!(read.varies());
/// assert_eq!((read.sigma, read.sigma_us), (0.02, 0.0));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Read {
    /// Standard deviation of G, relative.
    pub sigma: f64,
    /// Standard deviation of G in microsiemens.
    pub sigma_us: f64,
    /// Volts of a pulse on a word line; 0: not known, and not needed where cells are linear.
    #[serde(skip_serializing_if = "is_default")]
    pub volt: f64,
    /// Nanoseconds of a pulse.
    #[serde(skip_serializing_if = "is_default")]
    pub pulse_ns: f64,
}

impl Read {
    /// Whether reads vary.
    pub fn varies(&self) -> bool {
        self.sigma != 0.0 || self.sigma_us != 0.0
    }

    /// These reads without noise.
    pub fn exact(&self) -> Self {
        Read { sigma: 0.0, sigma_us: 0.0, ..self.clone() }
    }
}

impl Rram {
    /// The quantiser in force: 0 bits are float for every scheme that counts bits.
    pub fn effective_scheme(&self) -> Scheme {
        if self.weight_bits == 0 && self.scheme != Scheme::Ternary { Scheme::Float } else { self.scheme }
    }

    /// Whether some cells are verified by the inputs of their rows, and not all.
    pub fn selects(&self) -> bool {
        let Programming { tolerance_us, verify_share, .. } = self.program;
        self.model == DeviceModel::Cell && tolerance_us != 0.0 && verify_share < 1.0 && self.variation.varies()
    }

    /// Whether cells are others in operation than they were read back.
    pub fn changes(&self) -> bool {
        self.drift.any() || self.temperature.any() || self.disturb.any()
    }

    /// Whether chips differ from each other.
    pub fn varies(&self) -> bool {
        self.variation.varies()
            || self.read.varies()
            || self.faults.any()
            || self.endurance.any()
            || (self.disturb.any() && self.disturb.transition_sigma != 0.0)
            || (self.drift.any() && (self.drift.nu_sigma != 0.0 || self.drift.retention_sigma != 0.0))
    }
}

/// JSON has no infinity: it stands as text.
fn finite_or_text<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match value {
        Some(value) if value.is_infinite() => serializer.serialize_str("inf"),
        value => value.serialize(serializer),
    }
}

impl Cell {
    /// The highest conductance, in microsiemens.
    pub fn highest_us(&self) -> f64 {
        self.levels_us.last().copied().unwrap_or(self.g_max_us)
    }

    /// The conductance of level 0, in microsiemens.
    pub fn lowest_us(&self) -> f64 {
        let listed = self.levels_us.first().copied().or(self.g_min_us);
        listed.unwrap_or_else(|| self.on_off_ratio.map_or(0.0, |ratio| self.g_max_us / ratio))
    }
}
