//! `[rram]`: how weights become cells, and what makes a cell differ from its target.

use super::{Access, Disturb, Drift, Endurance, Faults, Programming, Temperature, Variation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::is_default;

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
