//! One finished trial: what names it, what it gave, and the line that it is in a file.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::attack::Judged;
use crate::engine::Counts;
use crate::engine::chip_result::ChipResult;
use crate::engine::price::Price;
use crate::output::canonical;
use crate::profile::Energy;
use crate::system::workload::SynapticOperations;
use crate::system::{Spent, Workload};

/// The hash of everything that determines some trials but the chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(u64);

impl Key {
    /// The first 64 bits of the SHA-256 of an identity's canonical JSON.
    pub fn of(identity: &Value) -> Self {
        Key(digest(canonical(identity).as_bytes()))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        let is_key = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let key = u64::from_str_radix(&text, 16).ok().filter(|_| is_key);
        key.map(Key).ok_or_else(|| format!("`{text}`, expected 16 hexadecimal digits"))
    }
}

pub(super) fn digest(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// One finished trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// What it is a trial of.
    pub key: Key,
    /// The chip's index.
    pub chip: u64,
    /// Images classified correctly.
    pub correct: u64,
    /// Images run.
    pub images: u64,
    /// Spikes of all layers, steps and images.
    pub spikes: u64,
    /// Bytes that the chip's companion arrays hold.
    pub sram_bytes: u64,
    /// Time steps run, of all images.
    pub steps: u64,
    /// Partial sums beyond a converter's range, of all steps and images.
    pub clipped: u64,
    /// Sums at which an adder saturated, likewise.
    pub saturated: u64,
    /// Femtojoule of all images; absent where the profile has no costs, or they are not known.
    pub energy_fj: Option<u64>,
    /// What layers and components have of it.
    pub split: TrialSplit,
}

/// A trial's spikes and energy, by layer and component; empty where they are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrialSplit {
    /// Spikes of each spiking layer, all images, in the steps that they ran.
    pub layer_spikes: Vec<u64>,
    /// Femtojoule of each layer, all images.
    pub layer_fj: Vec<u64>,
    /// Femtojoule of each component of [`components`], all images.
    pub component_fj: Vec<u64>,
    /// The sums of all images, in the order of [`TrialFigure`]: times only where they are known.
    pub figures: Vec<u64>,
}

/// The components of an image's energy.
pub fn components() -> impl Iterator<Item = &'static str> {
    let of_events = Energy::default().all().into_iter().map(|(name, _)| name).filter(|name| *name != "write_pulse");
    of_events.chain(["leakage", "clock", "control", "compensation", "offchip_write"])
}

/// A sum over a trial's images, by its place in [`TrialSplit::figures`].
#[derive(Clone, Copy, Debug)]
pub enum TrialFigure {
    /// Weights that active inputs met.
    SynapticOperations,
    /// Weights that all inputs would have met.
    DenseOperations,
    /// Picoseconds from each image's first step to its answer.
    LatencyPs,
    /// Picoseconds from each image to the next.
    IntervalPs,
}

impl TrialSplit {
    fn of(counts: &Counts, found: Option<&(Spent, Workload)>, price: &Price, images: usize) -> Self {
        let layer_spikes = counts.spikes.iter().map(|steps| steps.iter().sum()).collect();
        let Some((spent, workload)) = found else { return TrialSplit { layer_spikes, ..TrialSplit::default() } };
        let of_all = |of_image: f64| (of_image * images as f64).round() as u64;
        let SynapticOperations { effective, dense } = workload.synaptic_operations;
        let times = spent.latency_ns.zip(spent.interval_ns);
        let times = times.into_iter().flat_map(|(latency, interval)| [latency, interval]);
        let figures = [effective, dense].into_iter().chain(times.map(|ns| 1000.0 * ns)).map(of_all).collect();
        let femtojoule = |pj: f64| (pj * 1000.0 * images as f64).round() as u64;
        let layer = |name: &str| spent.layers.get(name).map_or(0.0, |parts| parts.values().sum());
        let parts = || spent.layers.values().chain([&spent.chip]);
        let component = |name: &str| parts().filter_map(|parts| parts.get(name)).sum();
        TrialSplit {
            layer_spikes,
            layer_fj: price.layers().map(|name| femtojoule(layer(name))).collect(),
            component_fj: components().map(|name| femtojoule(component(name))).collect(),
            figures,
        }
    }
}

impl Trial {
    /// The trial of a chip that ran so many images: its early answers where there are any, and the steps that they
    /// took. What converters and adders cut is of all steps.
    pub fn of(key: Key, chip: u64, result: &ChipResult, steps: usize, price: &Price) -> Self {
        let (correct, counts, ran) = match &result.exit {
            Some(early) => (early.correct, &early.counts, early.steps.iter().sum()),
            None => (result.correct, &result.counts, result.logits.nrows() * steps),
        };
        let (images, found) = (result.logits.nrows(), price.of_result(result, steps));
        Trial {
            key,
            chip,
            correct: correct as u64,
            images: images as u64,
            spikes: counts.total_spikes(),
            sram_bytes: result.sram_bytes as u64,
            steps: ran as u64,
            clipped: result.counts.clipped.iter().sum(),
            saturated: result.counts.saturated.iter().sum(),
            energy_fj: found.as_ref().map(|(spent, _)| (spent.total_pj * 1000.0 * images as f64).round() as u64),
            split: TrialSplit::of(counts, found.as_ref(), price, images),
        }
    }

    /// The trial of a chip under attack.
    pub fn attacked(key: Key, chip: u64, judged: &Judged, steps: usize) -> Self {
        Trial {
            key,
            chip,
            correct: judged.correct as u64,
            images: judged.images as u64,
            spikes: judged.counts.total_spikes(),
            sram_bytes: judged.sram_bytes as u64,
            steps: (judged.images * steps) as u64,
            clipped: judged.counts.clipped.iter().sum(),
            saturated: judged.counts.saturated.iter().sum(),
            energy_fj: None,
            split: TrialSplit::default(),
        }
    }

    /// Percent of images classified correctly.
    pub fn accuracy(&self) -> f64 {
        100.0 * self.correct as f64 / self.images as f64
    }

    /// The line of a file, with its end; what ran it is for the reader alone.
    pub fn line(&self, backend: &str) -> String {
        let Trial { key, chip, correct, images, spikes, sram_bytes, steps, clipped, saturated, energy_fj, split } =
            self;
        let energy = energy_fj.map_or(String::new(), |fj| fj.to_string());
        let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(";");
        let TrialSplit { layer_spikes, layer_fj, component_fj, figures } = split;
        let split = [layer_spikes, layer_fj, component_fj, figures].map(|numbers| list(numbers)).join(",");
        let backend = backend.replace([',', ';', '"', '\n', '\r'], " ");
        let text = format!(
            "{key},{chip},{correct},{images},{spikes},{sram_bytes},{steps},{clipped},{saturated},{energy},{split},{backend}"
        );
        format!("{text},{}\n", check(&text))
    }

    /// The trial of a line without its end; none where it is not what was written.
    pub fn from_line(line: &str) -> Option<Self> {
        let (text, digits) = line.rsplit_once(',')?;
        if digits != check(text) {
            return None;
        }
        let mut fields = text.split(',');
        let key = Key::try_from(fields.next()?.to_string()).ok()?;
        let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok());
        Some(Trial {
            key,
            chip: next()?,
            correct: next()?,
            images: next().filter(|images| *images > 0)?,
            spikes: next()?,
            sram_bytes: next()?,
            steps: next()?,
            clipped: next()?,
            saturated: next()?,
            energy_fj: next(),
            split: {
                let mut list = || {
                    let numbers = fields.next()?.split(';').filter(|number| !number.is_empty());
                    numbers.map(|number| number.parse::<u64>().ok()).collect::<Option<Vec<u64>>>()
                };
                TrialSplit { layer_spikes: list()?, layer_fj: list()?, component_fj: list()?, figures: list()? }
            },
        })
    }
}

/// The first line of a file. It says how many components there are: trials of other ones are of another version.
pub(super) const HEADER: &str = "key,chip,correct,images,spikes,sram_bytes,steps,clipped,saturated,energy_fj,\
                      layer_spikes,layer_fj,component_fj_of_21,figures,backend,check\n";

/// Digits that tell a line as it was written from one that a disk has made.
fn check(text: &str) -> String {
    format!("{:08x}", digest(text.as_bytes()) >> 32)
}
