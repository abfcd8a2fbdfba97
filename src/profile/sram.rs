//! `[sram]`: the companion array.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scheme;
use crate::config::is_default;

/// `[sram]`: the companion array; see [`crate::crossbar::sram`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let keys = ["sram.bits=2", "sram.shift=-2", "sram.init=residual"].map(String::from);
/// let sram = Profile::named("rram_4bit", &keys)?.sram;
/// assert_eq!((sram.bits, sram.shift, sram.budget_bytes), (2, Some(-2), None));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sram {
    /// Bits of a weight; 0 means there is no companion array.
    pub bits: u32,
    /// The shifter: products of the array count 2^shift. Absent: 0, and for `residual` chosen from the read-back.
    pub shift: Option<i32>,
    /// The quantiser; absent: uniform, but integer for `zeros` and `residual`.
    pub scheme: Option<Scheme>,
    /// How the two sums combine; absent: average, but sum for `zeros` and `residual`.
    pub combine: Option<Combine>,
    /// Initial values for checkpoints without an array of their own.
    pub init: SramInit,
    /// Bytes that a chip's residual may take, all layers together, less those of trims, branches of low rank and
    /// tables of moved lines, which are stored whole; `budget_by` says what comes first. Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_bytes: Option<usize>,
    /// Which elements come first where `budget_bytes` does not hold all of them.
    #[serde(skip_serializing_if = "is_default")]
    pub budget_by: BudgetBy,
    /// Bits of each of the two numbers, a gain and an offset, by which a column's sums are trimmed after a chip was
    /// read back; 0: there are none.
    #[serde(skip_serializing_if = "is_default")]
    pub trim_bits: u32,
    /// The rank of a digital branch beside each residual: the product of two factors nearest to what cells miss. 0:
    /// there is none.
    #[serde(skip_serializing_if = "is_default")]
    pub rank: u32,
    /// Bits of the numbers of both factors; 8 where they are not given.
    #[serde(skip_serializing_if = "are_usual")]
    pub rank_bits: u32,
    /// Elements are left out that are not above this share of their layer's largest: pruning without training.
    pub threshold: f64,
    /// Bits of the register that adds up the array's products, with the sign; 0 is no limit.
    pub sum_bits: u32,
    /// Bits behind the shifter, with the sign; 0 is no limit.
    pub shifter_bits: u32,
    /// Bits of the adder behind shifter and converter, with the sign; 0 is no limit.
    pub adder_bits: u32,
    /// What becomes of the bits that a negative shift moves below the array's own unit.
    pub round: Rounding,
}

/// Bits of the numbers of a branch of low rank, where none are given.
const RANK_BITS: u32 = 8;

fn are_usual(bits: &u32) -> bool {
    *bits == RANK_BITS
}

impl Default for Sram {
    fn default() -> Self {
        Sram {
            bits: 0,
            shift: None,
            scheme: None,
            combine: None,
            init: SramInit::default(),
            budget_bytes: None,
            budget_by: BudgetBy::default(),
            trim_bits: 0,
            rank: 0,
            rank_bits: RANK_BITS,
            threshold: 0.0,
            sum_bits: 0,
            shifter_bits: 0,
            adder_bits: 0,
            round: Rounding::default(),
        }
    }
}

/// Which elements of a residual a budget of bytes is spent on; see [`crate::crossbar::budget`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::BudgetBy;
///
/// let keys = ["sram.bits=4", "sram.init=residual", "sram.budget_bytes=700", "sram.budget_by=output"];
/// let keys = keys.map(String::from);
/// let profile = Profile::named("rram_4bit", &keys)?;
/// assert_eq!(profile.sram.budget_by, BudgetBy::Output);
/// assert!(profile.wants_calibration()); // Rows that are driven often count more.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BudgetBy {
    /// The largest deviations of weights.
    #[default]
    Deviation,
    /// The elements that lower the squared error of columns' sums most for their bits, over inputs as training images
    /// give them; each layer has the form of storage and the shift that are best then.
    Output,
}

/// What becomes of the bits that a shift moves out at the right.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::Rounding;
///
/// let keys = ["adc.bits=6", "sram.bits=2", "sram.shift=-2", "sram.round=floor"].map(String::from);
/// assert_eq!(Profile::named("rram_4bit", &keys)?.sram.round, Rounding::Floor);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// None is lost: the RRAM's codes move left instead.
    #[default]
    Exact,
    /// Bits are cut off, towards minus infinity.
    Floor,
}

/// How companion arrays are trained and run; in a checkpoint, how they were.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::{Combine, CompanionForm, Scheme};
///
/// let sram = Profile::named("rram_4bit", &["sram.bits=2".into(), "sram.init=residual".into()])?.sram;
/// assert_eq!(sram.form(), CompanionForm { scheme: Scheme::Integer, combine: Combine::Sum });
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompanionForm {
    /// The quantiser.
    pub scheme: Scheme,
    /// How the two sums combine.
    pub combine: Combine,
}

/// How the companion array's products join those of the RRAM.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::Combine;
///
/// let sram = Profile::named("rram_4bit", &["sram.bits=2".into(), "sram.combine=sum".into()])?.sram;
/// assert_eq!(sram.effective_combine(), Combine::Sum);
/// assert_eq!((Combine::Sum.share(), Combine::Average.share()), (1.0, 0.5));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Half the sum: both arrays hold a whole network.
    Average,
    /// The sum: the array corrects.
    Sum,
}

/// Initial values of the companion array.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::SramInit;
///
/// let sram = Profile::named("rram_4bit", &["sram.bits=2".into(), "sram.init=residual".into()])?.sram;
/// assert_eq!(sram.init, SramInit::Residual);
/// assert_eq!(String::from(SramInit::Checkpoint("net.safetensors".into())), "checkpoint:net.safetensors");
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum SramInit {
    /// A copy of the RRAM's latent weights.
    #[default]
    Rram,
    /// Zeros.
    Zeros,
    /// Xavier uniform with gain 2, from the seed.
    Xavier,
    /// What this chip's read-back misses, in closed form.
    Residual,
    /// The weights of another checkpoint.
    Checkpoint(String),
}

impl TryFrom<String> for SramInit {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.as_str() {
            "rram" => Ok(SramInit::Rram),
            "zeros" => Ok(SramInit::Zeros),
            "xavier" => Ok(SramInit::Xavier),
            "residual" => Ok(SramInit::Residual),
            _ => match text.strip_prefix("checkpoint:").filter(|file| !file.is_empty()) {
                Some(file) => Ok(SramInit::Checkpoint(file.into())),
                None => Err(format!("`{text}`, expected `rram`, `zeros`, `xavier`, `residual` or `checkpoint:FILE`")),
            },
        }
    }
}

impl From<SramInit> for String {
    fn from(init: SramInit) -> String {
        match init {
            SramInit::Rram => "rram".into(),
            SramInit::Zeros => "zeros".into(),
            SramInit::Xavier => "xavier".into(),
            SramInit::Residual => "residual".into(),
            SramInit::Checkpoint(file) => format!("checkpoint:{file}"),
        }
    }
}

impl Sram {
    /// The quantiser in force.
    pub fn effective_scheme(&self) -> Scheme {
        self.scheme.unwrap_or(if self.corrects() { Scheme::Integer } else { Scheme::Uniform })
    }

    /// The combination in force.
    pub fn effective_combine(&self) -> Combine {
        self.combine.unwrap_or(if self.corrects() { Combine::Sum } else { Combine::Average })
    }

    /// The array with quantiser and combination stated: those of the profile, else those that a network was trained
    /// with, else the defaults.
    pub fn stated(&self, trained: Option<CompanionForm>) -> Sram {
        let CompanionForm { scheme, combine } = trained.unwrap_or(self.form());
        Sram { scheme: self.scheme.or(Some(scheme)), combine: self.combine.or(Some(combine)), ..self.clone() }
    }

    /// Quantiser and combination in force.
    pub fn form(&self) -> CompanionForm {
        CompanionForm { scheme: self.effective_scheme(), combine: self.effective_combine() }
    }

    /// Whether its corrections depend on the inputs of rows.
    pub fn wants_inputs(&self) -> bool {
        self.trim_bits > 0 || self.spends_by_output() || (self.bits > 0 && self.rank > 0)
    }

    /// Whether a budget is spent by what it wins at the output.
    pub fn spends_by_output(&self) -> bool {
        self.bits > 0 && self.budget_bytes.is_some() && self.budget_by == BudgetBy::Output
    }

    fn corrects(&self) -> bool {
        matches!(self.init, SramInit::Zeros | SramInit::Residual)
    }
}
