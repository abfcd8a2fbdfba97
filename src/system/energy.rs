//! The energy and time of an image: events, bytes and standing power, counted, times what the profile says that each
//! costs.
//!
//! Events are those of [`super::events`], bytes those of [`super::traffic`], times those of [`super::schedule`]. Power
//! that parts take all the time is spent for an image's interval, the time until the next one comes: `µW · ns = fJ`. A
//! layer has what its own parts, events and map take; what belongs to no layer there (the ways of the input and of
//! layers in digital logic, global buffer and control) is the chip's.

use std::collections::BTreeMap;

use serde::Serialize;

use super::architecture::{Activity, Architecture};
use super::events::Events;
use super::schedule::ImageTimes;
use super::workload::Workload;
use crate::crossbar::site::Site;
use crate::profile::{Compensation, DeviceModel, Interconnect, Profile};

/// Energy and time of an image.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let profile = Profile::named("spikesim_65nm", &["adc.range=full".into()])?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let result = session.run(&session.program(0)?, &data)?;
/// let spent = session.spent(&result).expect("the profile has costs");
/// assert_eq!(spent.total_pj, spent.spike_driven_pj + spent.static_pj);
/// assert_eq!(spent.left_out[0], "cost.energy_pj.word_line"); // The source has no constant for it.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spent {
    /// The ADC model behind the numbers.
    pub adc_model: String,
    /// Picojoule of an image, all layers.
    pub total_pj: f64,
    /// The part of `total_pj` that follows the spikes, in picojoule.
    pub spike_driven_pj: f64,
    /// The part of `total_pj` that is spent whatever comes in, in picojoule.
    pub static_pj: f64,
    /// Picojoule of an image, by layer and component.
    pub layers: BTreeMap<String, BTreeMap<&'static str, f64>>,
    /// Picojoule of an image that no layer takes by itself, by component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub chip: BTreeMap<&'static str, f64>,
    /// Nanoseconds of an image; none where the profile has no times.
    pub latency_ns: Option<f64>,
    /// Nanoseconds from one image to the next: fewer, where layers are pipelined.
    pub interval_ns: Option<f64>,
    /// Images a joule.
    pub images_per_j: Option<f64>,
    /// Tera-operations a second and watt: a multiplication and an addition for every weight on RRAM that every digit of
    /// an input would meet, were all active.
    pub tops_per_w: Option<f64>,
    /// Constants that the profile leaves out: their components are not in the sums.
    pub left_out: Vec<String>,
}

/// The energy and time of an image on average over chips, of as many images each.
#[derive(Clone, Debug, Default)]
pub struct MeanSpent {
    /// Sums over the chips, where there are several: of images a joule and operations a second and watt those of their
    /// products with the energy.
    sum: Option<Spent>,
    chips: usize,
}

impl MeanSpent {
    /// Adds a chip.
    pub fn add(&mut self, mut spent: Spent) {
        self.chips += 1;
        let Some(sum) = &mut self.sum else {
            self.sum = Some(spent);
            return;
        };
        if self.chips == 2 {
            sum.scale_ratios(sum.total_pj);
        }
        spent.scale_ratios(spent.total_pj);
        sum.total_pj += spent.total_pj;
        sum.spike_driven_pj += spent.spike_driven_pj;
        sum.static_pj += spent.static_pj;
        let add = |to: &mut BTreeMap<&'static str, f64>, parts: BTreeMap<&'static str, f64>| {
            parts.into_iter().for_each(|(name, pj)| *to.entry(name).or_insert(0.0) += pj);
        };
        spent.layers.into_iter().for_each(|(layer, parts)| add(sum.layers.entry(layer).or_default(), parts));
        add(&mut sum.chip, spent.chip);
        let known = |sum: Option<f64>, own: Option<f64>| Some(sum? + own?);
        sum.latency_ns = known(sum.latency_ns, spent.latency_ns);
        sum.interval_ns = known(sum.interval_ns, spent.interval_ns);
        sum.images_per_j = known(sum.images_per_j, spent.images_per_j);
        sum.tops_per_w = known(sum.tops_per_w, spent.tops_per_w);
    }

    /// The mean of the chips; none where nothing is known of any.
    pub fn mean(self) -> Option<Spent> {
        if self.chips < 2 {
            return self.sum;
        }
        let (mut mean, share) = (self.sum?, 1.0 / self.chips as f64);
        let numbers = [&mut mean.total_pj, &mut mean.spike_driven_pj, &mut mean.static_pj].into_iter();
        let parts = mean.layers.values_mut().chain([&mut mean.chip]).flat_map(BTreeMap::values_mut);
        let times = mean.latency_ns.iter_mut().chain(&mut mean.interval_ns);
        numbers.chain(parts).chain(times).for_each(|number| *number *= share);
        mean.scale_ratios(share / mean.total_pj);
        Some(mean)
    }
}

impl Spent {
    /// Multiplies what is a ratio to the energy.
    fn scale_ratios(&mut self, factor: f64) {
        self.images_per_j.iter_mut().chain(&mut self.tops_per_w).for_each(|ratio| *ratio *= factor);
    }
}

/// Components whose energy follows the spikes.
const SPIKE_DRIVEN: [&str; 4] = ["cell_read", "word_line", "sram_read_bit", "sram_add"];

impl Architecture {
    /// Energy and time of an image; none where the profile has no costs, or no layer stands on tiles: what digital
    /// logic takes is not known.
    pub fn spent(&self, activity: &Activity) -> Option<Spent> {
        let cost = &self.profile().cost;
        if !cost.any() || self.maps.iter().all(|map| map.tiles == 0) {
            return None;
        }
        let bytes = self.bytes(activity);
        let times = self.times(activity, &bytes);
        let mut parts: Vec<BTreeMap<&str, f64>> = vec![BTreeMap::new(); self.maps.len() + 1];
        for (i, site) in self.sites().enumerate().filter(|(_, site)| site.is_on_rram()) {
            parts[i] = self.of_events(i, site, activity);
            parts[i].extend(self.of_compensation(i, site).map(|pj| ("compensation", pj)));
            parts[i].extend(self.of_loading(i, site));
            let standing = self.standing_uw(i, site).into_iter();
            parts[i].extend(standing.filter_map(|(name, uw)| Some((name, uw? * times?.interval_ns * 1e-3))));
        }
        let (chip, on_tiles) = (self.maps.len(), |layer: &usize| self.maps[*layer].tiles > 0);
        for (route, bytes) in self.routes.iter().zip(&bytes) {
            let moved = [
                ("interconnect_byte", cost.energy_pj.interconnect_byte, route.transfers),
                ("buffer_byte", cost.energy_pj.buffer_byte, route.accesses),
            ];
            let spent = moved.into_iter().filter_map(|(name, each, times)| Some((name, each? * times * bytes)));
            // A layer in digital logic has no prices of its own.
            let parts = &mut parts[route.layer.filter(on_tiles).unwrap_or(chip)];
            spent.filter(|(_, pj)| *pj > 0.0).for_each(|(name, pj)| *parts.entry(name).or_insert(0.0) += pj);
        }
        let standing = self.standing_chip_uw().into_iter();
        parts[chip].extend(standing.filter_map(|(name, uw)| Some((name, uw? * times?.interval_ns * 1e-3))));
        let ensemble = self.profile().system.ensemble as f64;
        parts.iter_mut().flat_map(BTreeMap::values_mut).for_each(|pj| *pj *= ensemble);
        Some(self.summed(parts, times, activity))
    }

    /// Picojoule of the events of a layer, by component.
    fn of_events(&self, i: usize, site: &Site, activity: &Activity) -> BTreeMap<&'static str, f64> {
        let (profile, cost) = (self.profile(), &self.profile().cost);
        let events = Events::of(site, &self.maps[i], activity.steps, activity.drives[i], activity.elements[i]);
        let e = &cost.energy_pj;
        // An ideal converter is none.
        let converted = if profile.converts() { events.conversions } else { 0.0 };
        let (conversions, codes) = (converted * cost.conversion(profile.adc.bits), cost.width(profile.adc.bits));
        let components = [
            ("cell_read", e.cell_read, events.cell_reads),
            ("word_line", e.word_line, events.word_lines),
            ("adc", e.adc, conversions),
            ("mux", e.mux, converted),
            ("code", e.code, converted * codes),
            ("htree", e.htree, events.conversions * codes),
            ("tile_buffer", e.tile_buffer, events.conversions * codes),
            ("temporary_buffer", e.temporary_buffer, events.conversions * codes),
            ("fetch", e.fetch, events.tile_drives),
            ("neuron", e.neuron, events.neuron_updates),
            ("join", e.join.filter(|_| site.joins > 0), events.joins),
            ("sram_read_bit", e.sram_read_bit, events.sram_bits),
            ("sram_add", e.sram_add, events.sram_adds),
        ];
        components.iter().filter_map(|(name, each, events)| Some((*name, (*each)? * events))).collect()
    }

    /// An image's share of the picojoule of compensating a layer and its copies; none where nothing is, or the profile
    /// has no price of it. All rows are driven once, and every bit line is converted by itself.
    fn of_compensation(&self, i: usize, site: &Site) -> Option<f64> {
        let (drift, profile, map) = (&site.rram.drift, self.profile(), &self.maps[i]);
        if drift.compensation == Compensation::None || drift.compensation_images == 0.0 {
            return None;
        }
        let (e, cost) = (&profile.cost.energy_pj, &profile.cost);
        let lines = (map.columns * map.lines_per_column + map.unit_lines) as f64;
        let conversions = if profile.converts() { site.partial_sums() as f64 * lines } else { 0.0 };
        let width = cost.width(profile.adc.bits);
        let parts = [
            (e.cell_read, map.cells as f64),
            (e.word_line, (map.rows * map.column_splits) as f64),
            (e.fetch, (map.tiles * site.turns()) as f64),
            (e.adc, conversions * cost.conversion(profile.adc.bits)),
            (e.mux, conversions),
            (e.code, conversions * width),
        ];
        summed(&parts).map(|pj| pj * self.schedule.copies[i] as f64 / drift.compensation_images)
    }

    /// Picojoule of bringing a layer's weights for an image, and of writing them, a pulse a device; nothing where they
    /// stand for good.
    fn of_loading(&self, i: usize, site: &Site) -> Vec<(&'static str, f64)> {
        let e = &self.profile().cost.energy_pj;
        let parts = [
            ("offchip_byte", e.offchip_byte, self.loaded_bytes(i, site)),
            (
                "offchip_write",
                e.write_pulse.filter(|_| site.rram.model == DeviceModel::Cell),
                self.maps[i].cells as f64,
            ),
        ];
        let is_loaded = self.schedule.loaded.contains(&i);
        parts.into_iter().filter(|_| is_loaded).filter_map(|(name, each, count)| Some((name, each? * count))).collect()
    }

    /// Bytes of a layer's weights and of its companion array that come from off-chip memory for an image.
    fn loaded_bytes(&self, i: usize, site: &Site) -> f64 {
        let bytes = site.weights() as f64 * f64::from(site.weight_bits()) / 8.0 + self.maps[i].sram_bytes as f64;
        if self.schedule.loaded.contains(&i) && site.is_on_rram() { bytes } else { 0.0 }
    }

    /// Microwatt that a layer and its copies take all the time, by component; none where the profile has no power of
    /// its kind.
    fn standing_uw(&self, i: usize, site: &Site) -> [(&'static str, Option<f64>); 2] {
        let (profile, map, copies) = (self.profile(), self.standing(i), self.schedule.copies[i] as f64);
        let p = &profile.cost.power_uw;
        let tiles = copies * map.tiles as f64;
        let adcs = if profile.converts() { copies * map.adcs as f64 } else { 0.0 };
        let leaks = [
            (p.cell, tiles * site.tile_cells() as f64),
            (p.adc, adcs),
            (p.tile, tiles),
            (p.neuron, site.neurons as f64),
            (p.sram_bit, 8.0 * copies * map.sram_bytes as f64),
        ];
        [("leakage", summed(&leaks)), ("clock", p.clock.map(|uw| uw * tiles))]
    }

    /// Microwatt that no layer takes by itself.
    fn standing_chip_uw(&self) -> [(&'static str, Option<f64>); 2] {
        let p = &self.profile().cost.power_uw;
        let bytes = self.profile().system.buffer_bytes as f64;
        [("leakage", summed(&[(p.buffer_byte.filter(|_| bytes > 0.0), bytes)])), ("control", p.control)]
    }

    /// Bytes that each sender sends for an image.
    fn bytes(&self, activity: &Activity) -> Vec<f64> {
        let spikes = |layer: Option<usize>| layer.map_or(activity.input, |layer| activity.spikes[layer]);
        self.routes.iter().map(|route| route.bytes(activity.steps, spikes(route.layer))).collect()
    }

    /// Times of an image; none where the profile has no times of tiles.
    fn times(&self, activity: &Activity, bytes: &[f64]) -> Option<ImageTimes> {
        let time = &self.profile().cost.time_ns;
        if !self.profile().is_timed() {
            return None;
        }
        let (mut layers, mut input) = (vec![0.0; self.maps.len()], 0.0);
        for (route, bytes) in self.routes.iter().zip(bytes) {
            let ns = time.interconnect_byte.unwrap_or(0.0) * route.turns * bytes / activity.steps;
            *route.layer.map_or(&mut input, |layer| &mut layers[layer]) += ns;
        }
        for (i, site) in self.sites().enumerate() {
            layers[i] += time.offchip_byte.unwrap_or(0.0) * self.loaded_bytes(i, site) / activity.steps;
        }
        Some(self.schedule.times(activity.steps, &layers, input))
    }

    /// All parts of an image's energy together: those of each layer, and behind them those of the chip.
    fn summed(
        &self,
        mut parts: Vec<BTreeMap<&'static str, f64>>,
        times: Option<ImageTimes>,
        activity: &Activity,
    ) -> Spent {
        let profile = self.profile();
        let mut totals = [0.0, 0.0];
        for (name, pj) in parts.iter().flatten() {
            totals[usize::from(!SPIKE_DRIVEN.contains(name))] += pj;
        }
        let chip = parts.pop().unwrap_or_default();
        let on_rram = self.sites().zip(parts).filter(|(site, _)| site.is_on_rram());
        let total_pj = totals[0] + totals[1];
        let per = |what: f64| (total_pj > 0.0).then_some(what / total_pj);
        Spent {
            adc_model: profile.cost.adc_model(profile.adc.bits),
            total_pj,
            spike_driven_pj: totals[0],
            static_pj: totals[1],
            layers: on_rram.map(|(site, parts)| (site.name.clone(), parts)).collect(),
            chip,
            latency_ns: times.map(|times| times.latency_ns),
            interval_ns: times.map(|times| times.interval_ns),
            // Picojoules, so 1e12 of them a joule, and one operation each is a tera-operation.
            images_per_j: per(1e12),
            tops_per_w: per(2.0 * Workload::of(self.plan(), activity).on_tiles),
            left_out: left_out(profile, self.sites(), !self.schedule.loaded.is_empty()),
        }
    }
}

/// The sum of parts times what each takes; none where the profile says it of none.
fn summed(parts: &[(Option<f64>, f64)]) -> Option<f64> {
    let known = parts.iter().filter_map(|(each, parts)| Some((*each)? * parts));
    parts.iter().any(|(each, _)| each.is_some()).then(|| known.fold(0.0, |sum, uw| sum + uw))
}

/// Constants that the profile does not have and its chips would need.
fn left_out<'a>(profile: &Profile, mut sites: impl Iterator<Item = &'a Site>, loads: bool) -> Vec<String> {
    let (system, cost) = (&profile.system, &profile.cost);
    let joins = sites.any(|site| site.is_on_rram() && site.joins > 0);
    let moves = system.interconnect != Interconnect::None;
    let needed = |section: &str, key: &str| match (section, key) {
        // Leakage counts where the profile says anything of it.
        ("power_uw", _) if cost.power_uw == Default::default() => false,
        ("power_uw", "buffer_byte") | ("area_um2", "buffer_byte") => system.buffer_bytes > 0,
        (_, "interconnect_byte" | "buffer_byte") => moves,
        ("area_um2", "router") => system.interconnect == Interconnect::Mesh,
        ("area_um2", "control") => moves || cost.power_uw.control.is_some(),
        (_, "adc" | "mux" | "code" | "conversion") => profile.converts(),
        (_, "join") => joins,
        (_, "offchip_byte") => loads,
        (_, "write_pulse") => profile.any(|rram, _| rram.model == DeviceModel::Cell),
        (_, "sram_bit") => profile.any(|rram, sram| sram.bits > 0 || sram.trim_bits > 0 || rram.faults.move_weights()),
        (_, key) => !key.starts_with("sram") || profile.has_companions(),
    };
    let missing = cost.constants().into_iter().filter(|(section, key, value)| value.is_none() && needed(section, key));
    missing.map(|(section, key, _)| format!("cost.{section}.{key}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_all_energy_and_not_means_of_ratios() {
        let of = |total_pj: f64| Spent {
            adc_model: String::new(),
            total_pj,
            spike_driven_pj: 0.0,
            static_pj: total_pj,
            layers: BTreeMap::from([("a".into(), BTreeMap::from([("adc", total_pj)]))]),
            chip: BTreeMap::new(),
            latency_ns: Some(total_pj),
            interval_ns: None,
            images_per_j: Some(1e12 / total_pj),
            tops_per_w: Some(600.0 / total_pj),
            left_out: vec![],
        };
        let mut all = MeanSpent::default();
        all.add(of(100.0));
        assert_eq!(all.clone().mean(), Some(of(100.0)));
        all.add(of(300.0));
        assert_eq!(all.mean(), Some(of(200.0)));
        assert_eq!(MeanSpent::default().mean(), None);
    }
}
