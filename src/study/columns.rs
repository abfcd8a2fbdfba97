//! The names of columns in the tables of studies, each with its unit.

/// Time steps that an image runs.
pub const STEPS: &str = "steps_per_image";
/// Partial sums beyond a converter's range.
pub const CLIPPED: &str = "adc_clipped_per_image";
/// Sums at which an adder saturated.
pub const SATURATED: &str = "adder_saturated_per_image";
/// Spikes of a neuron and step.
pub const RATE: &str = "spikes_per_neuron_step";
/// The area of a chip, where the profile has areas; this and those below are columns after those of every study.
pub const AREA: &str = "area_mm2";
/// Time from an image's first step to its answer.
pub const LATENCY: &str = "latency_ns";
/// Time from one image to the next.
pub const INTERVAL: &str = "interval_ns";
/// Images a joule.
pub const PER_JOULE: &str = "images_per_j";
/// Dense operations a second and watt.
pub const TOPS_PER_W: &str = "tops_per_w";
/// Weights that an image's active inputs meet.
pub const OPERATIONS: &str = "synaptic_operations_per_image";
/// The energy of an image.
pub const ENERGY: &str = "energy_pj_per_image";
/// The accuracy in percent that 95 % of the chips reach.
pub const QUANTILE: &str = "accuracy_q05";
/// The share of chips whose accuracy is acceptable, where a study says which is.
pub const YIELD: &str = "yield_percent";
