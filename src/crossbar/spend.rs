//! The residual under a budget that is spent by what it wins at the output: among all layers, elements, forms of
//! storage and shifts, that which lowers the squared error of columns' sums most for its bits.
//!
//! An element whose cell misses its target by Δ adds v·(Δ − c)² to the squared error of its column's sums, c what its
//! code corrects and v the mean square of its row's input on training images, or its variance where offsets are
//! trimmed, inputs taken as independent of each other. Errors are counted in shares of the column's signal, Σ v·q², as
//! a norm behind it scales them, and averaged over the columns of a layer, of n elements. A layer may have each shift
//! that is allowed, and one of these forms, k bits a code:
//!
//! | form | bits of the layer | bits of each element that is not 0, or is an exception |
//! |---|---|---|
//! | places | 0 | k + ⌈log₂ n⌉ |
//! | mask | n | k |
//! | narrow codes of j bits, and exceptions of k bits, j = 2 to k | n·j | k + ⌈log₂ n⌉ |
//!
//! For a price λ of a bit each layer takes by itself the way whose error and price together are least: of an element's
//! code whatever wins more than its bits cost. The budget is met by the least price that keeps to it (Lagrange; H.
//! Everett, Operations Research 11, 399, 1963).

use rayon::prelude::*;

use super::arrays::Arrays;
use super::signal::weights;
use super::site::Site;
use super::stored::place_bits;
use crate::device::quantise::quantise;
use crate::profile::Scheme;

/// Shifts that a layer may have where none is given.
const SHIFTS: std::ops::RangeInclusive<i32> = -5..=1;
/// The least price of a bit that is looked at, in shares of all errors together.
const LEAST_PRICE: f64 = 1e-15;
/// Halvings of the interval of the logarithms of prices.
const HALVINGS: usize = 50;

/// A form of storage.
#[derive(Clone, Copy)]
enum SpentForm {
    /// Codes of elements, each with its place.
    Places,
    /// A bit for every element, and codes of those that are there.
    Mask,
    /// Codes of so many bits for every element, and wider ones of exceptions, each with its place.
    Narrow(u32),
}

/// One way of storing a layer's residual.
struct ResidualStorage {
    shift: i32,
    form: SpentForm,
    /// Bits whatever it holds.
    bits: f64,
    /// Bits of each further element.
    bits_each: f64,
    /// The error without further elements.
    error: f64,
    /// The errors that elements take away, the most first, with their places.
    wins: Vec<(f32, u32)>,
    /// The errors that all of them up to each one take away.
    won: Vec<f64>,
}

impl ResidualStorage {
    /// Elements that are worth their bits at a price.
    fn worth(&self, price: f64) -> usize {
        self.wins.partition_point(|(win, _)| f64::from(*win) > price * self.bits_each)
    }

    /// Its error and the price of its bits with so many elements.
    fn cost(&self, elements: usize, price: f64) -> f64 {
        let won = elements.checked_sub(1).map_or(0.0, |last| self.won[last]);
        self.error - won + price * self.bits_of(elements)
    }

    fn bits_of(&self, elements: usize) -> f64 {
        self.bits + self.bits_each * elements as f64
    }

    fn bytes(&self, elements: usize) -> usize {
        (self.bits_of(elements) as usize).div_ceil(8)
    }
}

/// A layer's residual, before it is decided what of it is stored.
struct LayerResidual<'a> {
    site: &'a Site,
    /// The part of the targets that cells miss.
    missing: Vec<f32>,
    /// The weight of a squared deviation of each element.
    weights: Vec<f32>,
    ways: Vec<ResidualStorage>,
}

/// The choice for a layer: the number of its way, and further elements.
type Choice = (usize, usize);

/// Spends a budget of bytes on the residuals of all layers.
pub fn spend<'a>(sites: impl Iterator<Item = &'a Site>, arrays: &mut [Arrays], budget_bytes: usize) {
    let with_array = sites.zip(arrays).filter(|(site, _)| site.has_companion()).collect::<Vec<_>>();
    let (layers, mut arrays): (Vec<LayerResidual>, Vec<&mut Arrays>) =
        with_array.into_par_iter().map(|(site, arrays)| (LayerResidual::of(site, arrays), arrays)).unzip();
    let fits = |choices: &[Choice]| {
        let bytes = |(layer, (way, elements)): (&LayerResidual, &Choice)| layer.ways[*way].bytes(*elements);
        layers.iter().zip(choices).map(bytes).sum::<usize>() <= budget_bytes
    };
    // Forms change in steps, which may leave some of the budget: the forms that were found take more elements for it.
    let forms = cheapest(&layers, |price| layers.iter().map(|layer| layer.best(price)).collect(), fits);
    let more = |price: f64| -> Vec<Choice> {
        let worth = |(layer, (way, _)): (&LayerResidual, &Choice)| (*way, layer.ways[*way].worth(price));
        layers.iter().zip(&forms).map(worth).collect()
    };
    let choices = cheapest(&layers, more, fits);
    for ((layer, arrays), (way, elements)) in layers.iter().zip(&mut arrays).zip(choices) {
        layer.store(arrays, &layer.ways[way], elements);
    }
}

/// The choices at the least price of a bit at which they fit.
fn cheapest(
    layers: &[LayerResidual],
    at: impl Fn(f64) -> Vec<Choice>,
    fits: impl Fn(&[Choice]) -> bool,
) -> Vec<Choice> {
    let free = at(0.0);
    if fits(&free) {
        return free;
    }
    // No element wins more than all errors together for a bit, at which nothing is stored.
    let mut most = layers.iter().map(LayerResidual::error).fold(f64::MIN_POSITIVE, |sum, error| sum + error);
    let mut least = most * LEAST_PRICE;
    for _ in 0..HALVINGS {
        let middle = (least * most).sqrt();
        if fits(&at(middle)) { most = middle } else { least = middle }
    }
    at(most)
}

impl<'a> LayerResidual<'a> {
    fn of(site: &'a Site, arrays: &Arrays) -> Self {
        let missing = arrays.missing();
        let mut layer = LayerResidual { site, weights: weights(site, &arrays.cells.target), missing, ways: vec![] };
        let shifts = site.sram.shift.map_or(SHIFTS, |shift| shift..=shift);
        layer.ways = shifts.into_par_iter().flat_map_iter(|shift| layer.ways_of(shift)).collect();
        layer
    }

    fn error(&self) -> f64 {
        self.errors(&self.missing).into_iter().map(f64::from).fold(0.0, |sum, error| sum + error)
    }

    /// The errors of deviations, element by element.
    fn errors(&self, left: &[f32]) -> Vec<f32> {
        left.iter().zip(&self.weights).map(|(left, weight)| left * left * weight).collect()
    }

    /// The deviations that codes leave, shifted by so many places.
    fn left(&self, codes: &[f32], shift: i32) -> Vec<f32> {
        let scale = libm::exp2f(shift as f32);
        self.missing.iter().zip(codes).map(|(missing, code)| missing - code * scale).collect()
    }

    fn codes(&self, shift: i32) -> Vec<f32> {
        let scale = libm::exp2f(-shift as f32);
        let scaled: Vec<f32> = self.missing.iter().map(|missing| missing * scale).collect();
        quantise(Scheme::Integer, self.site.sram.bits, &scaled)
    }

    /// Codes of no more than so many bits: each as it is where it needs no more, else the nearest.
    fn narrowed(&self, codes: &[f32], narrow: u32) -> Vec<f32> {
        let bits = self.site.sram.bits as i32;
        let unit = libm::exp2f((1 - bits) as f32);
        let end = libm::exp2f((narrow as i32 - bits) as f32);
        codes.iter().map(|code| code.max(-end).min(end - unit)).collect()
    }

    /// The ways of storing it at a shift.
    fn ways_of(&self, shift: i32) -> Vec<ResidualStorage> {
        let (n, k) = (self.missing.len(), self.site.sram.bits);
        let codes = self.codes(shift);
        let of_wide = self.errors(&self.left(&codes, shift));
        let places = f64::from(k + place_bits(n));
        let way = |form: SpentForm, bits: f64, bits_each: f64, before: Vec<f32>| {
            let wins = before.iter().zip(&of_wide).zip(0..).map(|((before, after), place)| (before - after, place));
            let mut wins: Vec<(f32, u32)> = wins.filter(|(win, _)| *win > 0.0).collect();
            wins.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            let won = wins.iter().scan(0.0, |won, (win, _)| {
                *won += f64::from(*win);
                Some(*won)
            });
            let error = before.iter().fold(0.0, |sum, error| sum + f64::from(*error));
            ResidualStorage { shift, form, bits, bits_each, error, won: won.collect(), wins }
        };
        let nothing = self.errors(&self.missing);
        let sparse = [
            way(SpentForm::Places, 0.0, places, nothing.clone()),
            way(SpentForm::Mask, n as f64, f64::from(k), nothing),
        ];
        let narrow = |j: u32| {
            let before = self.errors(&self.left(&self.narrowed(&codes, j), shift));
            way(SpentForm::Narrow(j), (n * j as usize) as f64, places, before)
        };
        sparse.into_iter().chain((2..=k).map(narrow)).collect()
    }

    /// The way that is best at a price, and how many elements it takes.
    fn best(&self, price: f64) -> Choice {
        let cost = |way: &ResidualStorage| way.cost(way.worth(price), price);
        let costs = self.ways.iter().map(cost).enumerate();
        let (best, _) = costs.min_by(|a, b| a.1.total_cmp(&b.1)).expect("a layer has ways");
        (best, self.ways[best].worth(price))
    }

    fn store(&self, arrays: &mut Arrays, way: &ResidualStorage, elements: usize) {
        let Some(companion) = &mut arrays.companion else { return };
        let codes = self.codes(way.shift);
        companion.shift = way.shift;
        companion.weights = match way.form {
            SpentForm::Narrow(bits) => self.narrowed(&codes, bits),
            SpentForm::Mask | SpentForm::Places => vec![0.0; codes.len()],
        };
        for (_, place) in &way.wins[..elements] {
            companion.weights[*place as usize] = codes[*place as usize];
        }
        arrays.spent_bytes = Some(way.bytes(elements));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::crossbar::calibration::RowInput;
    use crate::crossbar::sram::CompanionSource;
    use crate::device::ProgrammedCells;
    use crate::profile::{Sram, SramInit};

    /// Layers of so many rows and columns whose cells miss their targets by pseudorandom amounts, a few of them by a
    /// lot.
    fn layers(sizes: &[(usize, usize)], sram: &Sram) -> (Vec<Site>, Vec<Arrays>) {
        let layer = |(number, (rows, columns)): (usize, &(usize, usize))| {
            let input = |row: usize| RowInput { mean: 0.0, square: if row.is_multiple_of(3) { 0.5 } else { 0.01 } };
            let inputs = (0..*rows).map(input).collect();
            let site = Site { sram: sram.clone(), inputs, ..Site::of_test(*rows, *columns) };
            let wave = |i: usize| ((i * 7919 + number * 31) as f32 * 0.618).sin();
            let target: Vec<f32> = (0..rows * columns).map(|i| (wave(i) * 8.0).round() / 8.0).collect();
            let off = |i: usize| wave(i + 1000) * if i.is_multiple_of(29) { 1.0 } else { 0.1 };
            let held = target.iter().enumerate().map(|(i, q)| q + off(i)).collect();
            let cells = Arc::new(ProgrammedCells::holding(target, held));
            let arrays = Arrays::beside(&site, cells, CompanionSource::Residual);
            (site, arrays)
        };
        sizes.iter().enumerate().map(layer).unzip()
    }

    /// The error at the output that is left, by the definition.
    fn left(site: &Site, arrays: &Arrays) -> f64 {
        let companion = arrays.companion.as_ref().unwrap();
        let scale = 2f64.powi(companion.shift);
        let column = |column: usize| {
            let (mut error, mut signal) = (0.0, 0.0);
            for (row, input) in site.inputs.iter().enumerate() {
                let i = column * site.rows + row;
                let (q, w) = (f64::from(arrays.cells.target[i]), f64::from(arrays.cells.programmed[i]));
                error += input.square * (q - w - scale * f64::from(companion.weights[i])).powi(2);
                signal += input.square * q * q;
            }
            error / signal / site.columns as f64
        };
        (0..site.columns).map(column).sum()
    }

    #[test]
    fn a_budget_is_used_up_and_more_of_it_leaves_less_error() {
        let sram = Sram { bits: 4, init: SramInit::Residual, ..Sram::default() };
        let sizes = [(60, 16), (90, 8), (30, 20)];
        let mut before = f64::INFINITY;
        for budget in [0, 20, 60, 150, 400, 800] {
            let (sites, mut arrays) = layers(&sizes, &sram);
            spend(sites.iter(), &mut arrays, budget);
            let bytes: usize = arrays.iter().map(Arrays::sram_bytes).sum();
            assert!(bytes <= budget, "{bytes} of {budget}");
            assert!(budget == 0 || 10 * bytes >= 8 * budget, "{bytes} of {budget}");
            let error: f64 = sites.iter().zip(&arrays).map(|(site, arrays)| left(site, arrays)).sum();
            assert!(error < before, "{budget}: {error} for {before}");
            before = error;
        }
    }

    #[test]
    fn it_leaves_less_error_than_the_largest_deviations_do() {
        for (budget, share) in [(30, 0.8), (100, 0.95), (300, 0.95)] {
            let sram = Sram { bits: 4, init: SramInit::Residual, ..Sram::default() };
            let sizes = [(60, 16), (90, 8), (30, 20)];
            let error = |by_output: bool| -> f64 {
                let (sites, mut arrays) = layers(&sizes, &sram);
                if by_output {
                    spend(sites.iter(), &mut arrays, budget);
                } else {
                    super::super::budget::fit(&mut arrays, budget);
                }
                sites.iter().zip(&arrays).map(|(site, arrays)| left(site, arrays)).sum()
            };
            let errors = [error(true), error(false)];
            assert!(errors[0] < share * errors[1], "{budget}: {errors:?}");
        }
    }

    #[test]
    fn a_price_makes_the_choice_that_trying_all_of_them_makes() {
        // One small layer has one shift, and elements that take the same bits each.
        let sram = Sram { bits: 3, shift: Some(0), init: SramInit::Residual, ..Sram::default() };
        let (sites, mut arrays) = layers(&[(6, 2)], &sram);
        // Two elements of 3 bits and 4 of a place: two bytes.
        spend(sites.iter(), &mut arrays, 2);
        let weights = &arrays[0].companion.as_ref().unwrap().weights;
        let kept: Vec<usize> = (0..12).filter(|i| weights[*i] != 0.0).collect();
        let best = |kept: &[usize]| -> f64 {
            let (_, whole) = layers(&[(6, 2)], &sram);
            let mut tried = arrays[0].clone();
            let companion = tried.companion.as_mut().unwrap();
            let whole = &whole[0].companion.as_ref().unwrap().weights;
            companion.weights = (0..12).map(|i| if kept.contains(&i) { whole[i] } else { 0.0 }).collect();
            left(&sites[0], &tried)
        };
        assert!(!kept.is_empty() && kept.len() <= 2, "{kept:?}");
        let found = left(&sites[0], &arrays[0]);
        let pairs = (0..12).flat_map(|a| (0..12).map(move |b| [a, b]));
        let least = pairs.map(|pair| best(&pair[..kept.len()])).fold(f64::INFINITY, f64::min);
        assert!((found - least).abs() < 1e-6 * least, "{found} for {least}");
    }
}
