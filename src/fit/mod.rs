//! A profile's cells from measured devices: distributions fitted and compared, and the sections that hold the best.
//!
//! Programming variation is that of every device's first reads ([`laws`]); what reads of one device at one time differ
//! by is the noise of reads; what they have become later is drift ([`time`]).

pub mod laws;
pub mod measured;
pub mod time;

use serde::Serialize;

use self::laws::{Device, Fitted};
use self::measured::{Measured, Reading};
use self::time::Aged;
use crate::error::{Error, Result};
use crate::profile::VariationKind;

/// The noise of reads: how far reads of the same device at the same time lie apart.
///
/// # Examples
/// ```
/// use crosspike::{Fit, Measured, Measurement};
///
/// let read = |i: usize| Measurement { target_us: 20.0, read_us: 18.0 + (i % 2) as f64, time_s: 0.0, device: i / 2 };
/// let repeated = Fit::of(&Measured::of("pairs of reads", (0..20).map(read).collect(), true)?)?.repeated.unwrap();
/// // Two reads that are 1 µS apart have a standard deviation of 1/√2 µS.
/// assert!((repeated.sigma_us - 0.5f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeated {
    /// Devices that were read more than once at a time.
    pub devices: usize,
    /// Standard deviation, relative to the conductance.
    pub sigma: f64,
    /// Standard deviation in microsiemens.
    pub sigma_us: f64,
    /// Whether the relative one fits better.
    pub is_relative: bool,
}

/// Measured devices and all that was fitted to them.
///
/// # Examples
/// ```
/// use crosspike::{Fit, Measured, Measurement};
///
/// // Two levels, each read ten percent above and below its target.
/// let read = |i: usize| {
///     let target_us = if i % 4 < 2 { 10.0 } else { 40.0 };
///     let read_us = target_us * if i % 2 == 0 { 1.1 } else { 0.9 };
///     Measurement { target_us, read_us, time_s: 0.0, device: i }
/// };
/// let fit = Fit::of(&Measured::of("two levels", (0..40).map(read).collect(), false)?)?;
/// assert_eq!((fit.devices, fit.targets.len()), (40, 2));
/// let relative = fit.laws.iter().find(|fitted| fitted.law.key == "sigma" && !fitted.law.is_of_logarithms()).unwrap();
/// assert!((relative.law.values[0] - 0.1).abs() < 1e-9);
/// assert!(fit.profile(None)?.contains("[rram.variation]"));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Where the devices come from.
    pub source: String,
    /// Reads of all times.
    pub reads: usize,
    /// Devices.
    pub devices: usize,
    /// The distinct targets, rising, in microsiemens.
    pub targets: Vec<f64>,
    /// Each device's target and the mean of its first reads, at the reference time of the drift where there is one, in
    /// microsiemens.
    pub landed: Vec<Device>,
    /// The laws of programming variation, the best first.
    pub laws: Vec<Fitted>,
    /// The noise of reads, where devices were read more than once at a time.
    pub repeated: Option<Repeated>,
    /// Drift, where they were read at several times.
    pub aged: Option<Aged>,
}

/// Targets that are evenly spaced stand as a range: within this share of it.
const EVEN: f64 = 1e-6;
/// The most levels that a profile lists.
const MOST_LEVELS: usize = 256;

impl Fit {
    /// Fits all laws; an error where none can hold.
    pub fn of(measured: &Measured) -> Result<Self> {
        let readings = measured.readings();
        let firsts = readings.chunk_by(|one, next| one.device == next.device).map(|of_device| &of_device[0]);
        let aged = if measured.named { time::fit(measured)? } else { None };
        // First reads of several times are brought to one by the drift that the devices show.
        let read_us = |first: &Reading| match &aged {
            Some(aged) => aged.at_reference(first.mean_us(), first.time_s),
            None => first.mean_us(),
        };
        let landed: Vec<Device> = firsts.map(|first| (first.target_us, read_us(first))).collect();
        let targets = measured.targets();
        let laws = laws::fit(&landed, &targets);
        if laws.is_empty() {
            return Err(Error::Mismatch(
                "no distribution holds for the devices: none of them is off its target".into(),
            ));
        }
        Ok(Fit {
            source: measured.source.clone(),
            reads: measured.reads.len(),
            devices: landed.len(),
            targets,
            landed,
            laws,
            repeated: repeated(&readings),
            aged,
        })
    }

    /// The law of a key of `[rram.variation]` and kind, or the best.
    pub fn law(&self, kind: Option<VariationKind>) -> Result<&Fitted> {
        let found = self.laws.iter().find(|fitted| kind.is_none_or(|kind| fitted.law.kind == kind));
        found.ok_or_else(|| {
            let name = kind.map(|kind| word(&kind)).unwrap_or_default();
            let known: Vec<String> = self.laws.iter().map(|fitted| word(&fitted.law.kind)).collect();
            Error::Mismatch(format!("`{name}` cannot hold for these devices; expected one of {}", known.join(", ")))
        })
    }

    /// The profile with the law of a kind, or the best: what was measured, where from, and how sure it is.
    pub fn profile(&self, kind: Option<VariationKind>) -> Result<String> {
        let fitted = self.law(kind)?;
        let law = &fitted.law;
        let mut sections = vec![format!("[rram]\nmodel = \"cell\"\n\n{}", self.cell(law))];
        let mut variation = format!("[rram.variation]\nkind = {}\n", quoted(&word(&law.kind)));
        match law.kind {
            VariationKind::Table => {
                let rows = law.targets.iter().zip(&law.means).zip(&law.values);
                let rows: Vec<String> = rows.map(|((g, mean), sigma)| list(&[*g, *mean, *sigma])).collect();
                variation += &format!("table = [\n    {},\n]\n", rows.join(",\n    "));
            }
            VariationKind::Polynomial => {
                let ends = [self.targets[0], self.targets[self.targets.len() - 1]];
                variation += &format!("coefficients = {}\nfitted_us = {}\n", list(&law.values), list(&ends));
            }
            VariationKind::PerLevel => variation += &format!("levels = {}\n", list(&law.values)),
            _ => variation += &format!("{} = {}\n", law.key, number(law.values[0])),
        }
        sections.push(variation);
        sections.extend(self.repeated.map(|of| {
            let (key, value) = if of.is_relative { ("sigma", of.sigma) } else { ("sigma_us", of.sigma_us) };
            format!(
                "# {} devices were read more than once at a time.\n[rram.read]\n{key} = {}\n",
                of.devices,
                number(value)
            )
        }));
        sections.extend(self.aged.as_ref().map(Aged::section));
        let name = std::path::Path::new(&self.source).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let source = format!(
            "fitted to {}: {} reads of {} devices, {} targets; {} of {} laws by the Bayesian criterion, \
             Kolmogorov-Smirnov distance {:.4} (p {})",
            self.source,
            self.reads,
            self.devices,
            self.targets.len(),
            word(&law.kind),
            self.laws.len(),
            fitted.distance,
            share(fitted.p)
        );
        let head = format!("name = {}\nsource = {}\n", quoted(&name.unwrap_or_default()), quoted(&source));
        Ok(format!("{head}\n{}", sections.join("\n")))
    }

    /// The conductances that were asked for: as a list, or evenly spaced as a range.
    fn cell(&self, law: &laws::Law) -> String {
        let (targets, last) = (&self.targets, self.targets.len() - 1);
        let (least, most) = (targets[0], targets[last]);
        let place = |i: usize| least + (most - least) * i as f64 / last.max(1) as f64;
        let even = targets.iter().enumerate().all(|(i, target)| (target - place(i)).abs() <= EVEN * (most - least));
        // Levels are counted in the list.
        let as_list = (law.kind == VariationKind::PerLevel || !even) && (2..=MOST_LEVELS).contains(&targets.len());
        match as_list {
            true => format!("[rram.cell]\nlevels_us = {}\n", list(targets)),
            false => format!(
                "[rram.cell]\ng_max_us = {}\ng_min_us = {}\n",
                number(most),
                number(if last == 0 { 0.0 } else { least })
            ),
        }
    }
}

impl Aged {
    fn section(&self) -> String {
        let Aged { reference_s, last_s, devices, nu, nu_sigma, retention_sigma } = self;
        let unknown =
            "# No device was read three times: what differs between devices and what wanders are not told apart.\n";
        format!(
            "# {devices} devices, read from {reference_s} s to {last_s} s. Nothing drifts until time_s says how long \
             after reference_s a chip runs.\n\
             {}[rram.drift]\ntime_s = 0.0\nreference_s = {}\nnu = {}\nnu_sigma = {}\nretention_sigma = {}\n",
            if retention_sigma.is_none() { unknown } else { "" },
            number(*reference_s),
            number(*nu),
            number(*nu_sigma),
            number(retention_sigma.unwrap_or(0.0)),
        )
    }
}

/// The noise of reads of the same devices at the same time; none where no device was read twice.
fn repeated(readings: &[Reading]) -> Option<Repeated> {
    let often = || readings.iter().filter(|reading| reading.reads_us.len() > 1);
    let (mut free, mut absolute, mut relative, mut logarithms) = (0.0, 0.0, 0.0, 0.0);
    for reading in often() {
        let mean = reading.mean_us();
        let squares: f64 = reading.reads_us.iter().map(|read| (read - mean).powi(2)).sum();
        let freedom = (reading.reads_us.len() - 1) as f64;
        (free, absolute) = (free + freedom, absolute + squares);
        (relative, logarithms) = (relative + squares / (mean * mean), logarithms + freedom * mean.ln());
    }
    let mut devices: Vec<usize> = often().map(|reading| reading.device).collect();
    devices.dedup();
    let [sigma_us, sigma] = [absolute, relative].map(|squares| (squares / free).sqrt());
    // ln of the likelihoods, but for what both have alike.
    let is_relative = sigma.is_finite() && -free * sigma.ln() - logarithms > -free * sigma_us.ln();
    (free > 0.0 && absolute > 0.0).then_some(Repeated { devices: devices.len(), sigma, sigma_us, is_relative })
}

/// A kind as a profile writes it.
pub fn word(kind: &VariationKind) -> String {
    plain(kind).as_str().unwrap_or_default().to_owned()
}

fn plain(value: impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("a word is plain data")
}

fn quoted(text: &str) -> String {
    plain(text).to_string()
}

/// Six significant digits.
fn number(value: f64) -> String {
    format!("{:?}", format!("{value:.5e}").parse::<f64>().unwrap_or(value))
}

/// A share that may be very small.
fn share(p: f64) -> String {
    if p < 1e-4 { "below 0.0001".into() } else { format!("{p:.4}") }
}

fn list(values: &[f64]) -> String {
    format!("[{}]", values.iter().map(|value| number(*value)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::measured::Measurement;
    use super::*;
    use crate::config::Document;
    use crate::device::cell::Devices;
    use crate::device::survey::survey;
    use crate::device::{Draw, Matrix, quantise};
    use crate::profile::{Profile, Scheme, Tile};

    /// Devices that a profile's own chip has: what was fitted must be what they were made with.
    fn of_chip(keys: &[&str]) -> (Profile, Measured) {
        let base = [
            "rram.model=cell",
            "rram.cell.g_max_us=60",
            "rram.cell.g_min_us=4",
            "rram.weight_bits=3",
            "rram.scheme=integer",
        ];
        let keys: Vec<String> = base.iter().chain(keys).map(|key| key.to_string()).collect();
        let profile = Profile::ideal(&keys).unwrap();
        let latent: Vec<f32> = (0..6000).map(|i| (i % 9) as f32 / 4.0 - 1.0).collect();
        let target = quantise::quantise(Scheme::Integer, 3, &latent);
        let found = survey(&target, Matrix::new(60, 0, &profile.rram, Tile::default()), Some(Draw::chip(5, 2)));
        let reads = |slices: &[Devices], time_s: f64| -> Vec<Measurement> {
            let pairs = found.targets[0].plus.iter().zip(&slices[0].plus);
            pairs
                .enumerate()
                .map(|(device, (target_us, read_us))| Measurement {
                    target_us: *target_us,
                    read_us: *read_us,
                    time_s,
                    device,
                })
                .collect()
        };
        let mut all = reads(&found.programmed, 1.0);
        if profile.rram.drift.any() {
            all.extend(reads(&found.operating, 1.0 + profile.rram.drift.time_s));
        }
        (profile, Measured::of("a chip.csv", all, true).unwrap())
    }

    fn profile_of(text: &str) -> Profile {
        Profile::from_document(&Document::parse_text(Path::new("fit.toml"), text.into()).unwrap()).unwrap()
    }

    #[test]
    fn devices_that_are_read_one_after_the_other_are_all_seen() {
        let (_, measured) = of_chip(&["rram.variation.kind=gaussian", "rram.variation.sigma_us=0.6"]);
        let mut staggered = measured.clone();
        for read in &mut staggered.reads {
            read.time_s += 0.01 * read.device as f64;
        }
        // Every tenth is read again an hour later, twice.
        let later = |off_us: f64| {
            let of = move |read: &Measurement| Measurement { time_s: 3600.0, read_us: read.read_us + off_us, ..*read };
            staggered.reads.iter().step_by(10).map(of)
        };
        let again: Vec<Measurement> = later(0.1).chain(later(-0.1)).collect();
        staggered.reads.extend(again);
        let [at_once, staggered] = [measured, staggered].map(|measured| Fit::of(&measured).unwrap());
        let sigma = |fit: &Fit| fit.laws[0].law.values[0];
        assert_eq!((staggered.devices, staggered.laws[0].law.kind), (6000, at_once.laws[0].law.kind));
        assert!((sigma(&staggered) / sigma(&at_once) - 1.0).abs() < 0.01, "{:?}", staggered.laws[0]);
        let repeated = staggered.repeated.unwrap();
        assert_eq!(repeated.devices, 600);
        assert!((repeated.sigma_us - 0.2 / 2f64.sqrt()).abs() < 1e-9, "{repeated:?}");
    }

    #[test]
    fn first_reads_of_several_times_are_brought_to_one_by_the_drift() {
        // Half of the devices are first read at 10⁴ s, and one of them once, before all others.
        let read = |device: usize, time_s: f64| {
            let landed = 20.0 * (1.0 + 0.01 * (device % 21) as f64 - 0.1);
            Measurement { target_us: 20.0, read_us: landed * f64::powf(time_s, -0.05), time_s, device }
        };
        let times = |device: usize| if device.is_multiple_of(2) { [1.0, 1e3] } else { [1e4, 1e6] };
        let mut reads: Vec<Measurement> =
            (0..420).flat_map(|device| times(device).map(|time_s| read(device, time_s))).collect();
        reads.push(read(420, 0.01));
        let fit = Fit::of(&Measured::of("two days", reads, true).unwrap()).unwrap();
        let aged = fit.aged.as_ref().unwrap();
        assert!((aged.nu - 0.05).abs() < 1e-9 && aged.reference_s == 1.0, "{aged:?}");
        let off = fit.landed.iter().map(|device| (device.1 / read(0, 1.0).read_us - 1.0).abs()).fold(0.0, f64::max);
        assert!(off < 0.23, "no drift is taken for a spread: {off}");
    }

    #[test]
    fn the_law_that_devices_were_made_with_is_found_with_its_constants() {
        // Positive devices of three signed bits reach the third of four levels.
        for (keys, kind, expected) in [
            (&["rram.variation.kind=lognormal", "rram.variation.sigma=0.2"][..], VariationKind::Lognormal, vec![0.2]),
            (&["rram.variation.kind=gaussian", "rram.variation.sigma=0.1"], VariationKind::Gaussian, vec![0.1]),
            (&["rram.variation.kind=gaussian", "rram.variation.sigma_us=0.6"], VariationKind::Gaussian, vec![0.6]),
            (
                &["rram.variation.kind=per_level", "rram.variation.levels=[0.3, 0.1, 0.15, 0.05]"],
                VariationKind::PerLevel,
                vec![0.3, 0.1, 0.15],
            ),
            (
                &["rram.variation.kind=polynomial", "rram.variation.coefficients=[0.4, 0.05]"],
                VariationKind::Polynomial,
                vec![0.4, 0.05],
            ),
        ] {
            let (_, measured) = of_chip(keys);
            let fit = Fit::of(&measured).unwrap();
            let best = &fit.laws[0];
            assert_eq!(best.law.kind, kind, "{:#?}", fit.laws);
            assert_eq!(best.law.values.len(), expected.len(), "{best:?}");
            for (found, expected) in best.law.values.iter().zip(&expected) {
                assert!((found / expected - 1.0).abs() < 0.08, "{kind:?}: {found}, made with {expected}");
            }
            assert!(best.p > 1e-3, "{best:?}");
            // Its profile is one, and says so in its own words.
            let again = profile_of(&fit.profile(None).unwrap()).rram;
            assert_eq!(
                (again.variation.kind, again.cell.highest_us(), again.cell.lowest_us()),
                (kind, fit.targets[fit.targets.len() - 1], 4.0)
            );
        }
    }

    #[test]
    fn a_law_that_does_not_hold_is_far_from_the_devices() {
        let (_, measured) = of_chip(&["rram.variation.kind=lognormal", "rram.variation.sigma=0.4"]);
        let fit = Fit::of(&measured).unwrap();
        let of = |kind| fit.law(Some(kind)).unwrap();
        assert!(of(VariationKind::Lognormal).distance < 0.02 && of(VariationKind::Gaussian).distance > 0.05);
        assert!(of(VariationKind::Gaussian).p < 1e-6);
    }

    #[test]
    fn drift_is_that_of_the_devices() {
        let keys = [
            "rram.variation.kind=gaussian",
            "rram.variation.sigma=0.02",
            "rram.drift.time_s=9999",
            "rram.drift.nu=0.05",
        ];
        let (_, measured) = of_chip(&[&keys[..], &["rram.drift.nu_sigma=0.01"]].concat());
        let aged = Fit::of(&measured).unwrap().aged.unwrap();
        assert_eq!((aged.reference_s, aged.last_s, aged.retention_sigma), (1.0, 10_000.0, None));
        assert!((aged.nu - 0.05).abs() < 5e-4 && (aged.nu_sigma - 0.01).abs() < 5e-4, "{aged:?}");
        // Reads at a time between tell the walk from what devices differ by.
        let mut stream = crate::rng::Substream::new([1, 2], [3, 0, 0]);
        let mut normal = || -> f64 {
            use ndarray_rand::rand::prelude::Distribution;
            ndarray_rand::rand_distr::StandardNormal.sample(&mut stream)
        };
        let mut reads = vec![];
        for device in 0..4000 {
            let (nu, mut walk) = (0.03 + 0.005 * normal(), 0.0);
            for decade in 0..4 {
                if decade > 0 {
                    walk += 0.08 * normal();
                }
                let time_s = 10f64.powi(decade + 1);
                let read_us = 20.0 * (-nu * (time_s / 10.0).ln() + walk).exp();
                reads.push(Measurement { target_us: 20.5, read_us, time_s, device });
            }
        }
        let aged = Fit::of(&Measured::of("walks", reads, true).unwrap()).unwrap().aged.unwrap();
        assert!((aged.retention_sigma.unwrap() - 0.08).abs() < 0.003, "{aged:?}");
        assert!((aged.nu - 0.03).abs() < 0.001 && aged.nu_sigma < 0.01, "{aged:?}");
    }

    #[test]
    fn noise_of_reads_is_told_from_programming() {
        let mut stream = crate::rng::Substream::new([1, 2], [4, 0, 0]);
        let mut normal = || -> f64 {
            use ndarray_rand::rand::prelude::Distribution;
            ndarray_rand::rand_distr::StandardNormal.sample(&mut stream)
        };
        let mut reads = vec![];
        for device in 0..500 {
            let target_us = [5.0, 20.0, 80.0][device % 3];
            let landed = target_us * (0.1 * normal()).exp();
            (0..8).for_each(|_| {
                reads.push(Measurement { target_us, read_us: landed * (1.0 + 0.02 * normal()), time_s: 0.0, device })
            });
        }
        let fit = Fit::of(&Measured::of("noisy", reads, true).unwrap()).unwrap();
        let of = fit.repeated.unwrap();
        assert!(of.is_relative && (of.sigma - 0.02).abs() < 0.001 && of.devices == 500, "{of:?}");
        let profile = profile_of(&fit.profile(None).unwrap()).rram;
        assert_eq!(profile.cell.levels_us, [5.0, 20.0, 80.0], "levels that are not evenly spaced are listed");
        assert!((profile.read.sigma - 0.02).abs() < 0.001);
    }

    #[test]
    fn files_that_say_nothing_are_refused_with_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.csv");
        let rows = |text: &str| format!("target_us,read_us,device\n{}{text}", "10,11,a\n10,9,b\n20,19,c\n".repeat(3));
        for (text, expected) in [
            ("target_us\n1\n".to_string(), "line 1: expected the columns target_us and read_us; found target_us"),
            ("target_us,read_us,colour\n1,2,red\n".into(), "the column `colour` has no meaning"),
            ("target_us,read_us,temperature_c\n1,2,25\n".into(), "one temperature at a time"),
            (rows("20,-1,d\n"), "line 11: read_us is `-1`, expected a finite number of microsiemens, 0 or more"),
            (rows("20,x,d\n"), "line 11: read_us is `x`"),
            ("target_us,read_us\n1,2\n".into(), "1 reads are too few"),
            (rows("30,29,a\n"), "a device has the targets 10 and 30 µS"),
        ] {
            std::fs::write(&file, &text).unwrap();
            let error = Measured::read(&file).unwrap_err().to_string();
            assert!(error.contains("m.csv") && error.contains(expected), "{error}");
        }
    }
}
