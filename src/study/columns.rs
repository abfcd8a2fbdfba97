//! The names of columns in the tables of studies, each with its unit.

/// What images run.
pub const STEPS: &str = "steps_per_image";
/// What converters cut.
pub const CLIPPED: &str = "adc_clipped_per_image";
/// What adders cut.
pub const SATURATED: &str = "adder_saturated_per_image";
/// Spikes of a neuron and step.
pub const RATE: &str = "spikes_per_neuron_step";
/// What a chip takes, where the profile says; with those below, columns after those of every study.
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
/// What an image takes.
pub const ENERGY: &str = "energy_pj_per_image";
