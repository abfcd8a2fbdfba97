//! Weights, norms and constants of layers as kernels read them: in words of four columns.

use std::ops::Range;

use super::settings::LANES;
use crate::chip::ProgrammedLayer;
use crate::crossbar::converted::{Adder, Converted};
use crate::crossbar::programmed::Programmed;
use crate::kernels::digits as columns;
use crate::network::Layer as Plan;

/// Words of a layer's columns.
pub fn column_words(plan: &Plan) -> usize {
    plan.columns().div_ceil(LANES)
}

/// The vectors of the converters of a tile: gains, offsets, and the levels at which codes begin, where they have any.
pub fn converter_vectors(converted: &Converted) -> usize {
    let side = &converted.slices[0].columns;
    2 + side.levels.as_ref().map_or(0, |levels| levels.of(0).len())
}

/// Published weights `[columns, channels, positions]` of some words of columns as the kernel walks them, `[positions,
/// channels, columns]`: zero where channels or columns do not fill a word.
pub fn pack(layer: &ProgrammedLayer, words: &Range<usize>) -> Vec<f32> {
    let weights = match &layer.arrays {
        Programmed::Folded { weights, .. } => weights,
        Programmed::Converted(converted) => return pack_converted(layer, converted, words),
        Programmed::Reads { steps, .. } => {
            return steps.iter().flat_map(|step| pack_step(layer, step, words)).collect();
        }
    };
    let (rows, channels) = (layer.plan.rows(), layer.plan.input.channels);
    let positions = rows / channels;
    let padded = channels.next_multiple_of(LANES);
    let width = words.len() * LANES;
    let mut packed = vec![0.0; positions * padded * width];
    let columns = weights[words.start * LANES * rows..].chunks(rows).take(width);
    for (lane, column) in columns.enumerate() {
        for (row, weight) in column.iter().enumerate() {
            let (channel, position) = (row / positions, row % positions);
            packed[(position * padded + channel) * width + lane] = *weight;
        }
    }
    packed
}

/// The array that is read at a step: weights `[rows, columns]` in published order, or those behind converters.
fn pack_step(layer: &ProgrammedLayer, step: &Programmed, words: &Range<usize>) -> Vec<f32> {
    match step {
        Programmed::Folded { weights, .. } => {
            let (rows, columns) = (layer.plan.rows(), layer.plan.columns());
            let range = words.start * LANES..words.end * LANES;
            let lanes = |row: usize| {
                range.clone().map(move |column| if column < columns { weights[column * rows + row] } else { 0.0 })
            };
            (0..rows).flat_map(lanes).collect()
        }
        Programmed::Converted(converted) => pack_converted(layer, converted, words),
        Programmed::Reads { .. } => vec![],
    }
}

/// The arrays of some words of columns behind converters: of each slice its columns, then its unit columns where it has
/// them (weights `[rows, columns]` in published order, each tile's gains, offsets and levels), and the ends and place
/// of its codes; then the companion array's integers, and the adder.
fn pack_converted(layer: &ProgrammedLayer, converted: &Converted, words: &Range<usize>) -> Vec<f32> {
    let (rows, columns) = (layer.plan.rows(), layer.plan.columns());
    let range = words.start * LANES..words.end * LANES;
    let lanes = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
        range.clone().map(|column| if column < columns { value(column) } else { 0.0 }).collect()
    };
    let mut packed = Vec::new();
    for slice in &converted.slices {
        for side in std::iter::once(&slice.columns).chain(&slice.reference) {
            for row in 0..rows {
                packed.extend(lanes(&|column| side.weights[column * rows + row]));
            }
            for tile in 0..layer.plan.site.partial_sums() {
                packed.extend(lanes(&|column| side.gain[tile * columns + column]));
                packed.extend(lanes(&|column| side.offset[tile * columns + column]));
                if let Some(levels) = &side.levels {
                    let begin = |column: usize| {
                        if column < columns { levels.begins[tile * columns + column] } else { levels.ideal }
                    };
                    for level in 0..converter_vectors(converted) - 2 {
                        packed.extend(range.clone().map(|column| levels.row(begin(column))[level]));
                    }
                }
            }
        }
        let ends = [slice.converter.lowest as f32, slice.converter.highest as f32];
        packed.extend([ends[0], ends[1], slice.left as f32, 0.0].repeat(words.len()));
    }
    if let Some(companion) = &converted.companion {
        for row in 0..rows {
            packed.extend(lanes(&|column| companion.weights[column * rows + row] as f32));
        }
    }
    // Chips choose shifts of their own.
    let Adder { sram_right, sram_left, .. } = converted.adder;
    packed.extend([sram_right as f32, sram_left as f32, converted.unit, 0.0].repeat(words.len()));
    packed
}

/// Constants of neurons that differ, by places and words of columns; nothing where they do not.
pub fn pack_constants(layer: &ProgrammedLayer) -> Vec<f32> {
    let Some(varied) = &layer.varied else { return vec![] };
    let words = column_words(&layer.plan);
    let of_word = |(place, word): (usize, usize)| {
        let (block, first) = (word * LANES / columns::LANES, word * LANES % columns::LANES);
        let lanes = &varied.lanes[varied.index(block, place)];
        let all = [
            &lanes.leak,
            &lanes.threshold,
            &lanes.input,
            &lanes.synaptic_leak,
            &lanes.adaptation,
            &lanes.adaptation_leak,
            &lanes.taken,
        ];
        all.map(|values| values[first..first + LANES].to_vec()).concat()
    };
    let places = (0..varied.places).flat_map(|place| (0..words).map(move |word| (place, word)));
    places.flat_map(of_word).collect()
}

/// Gain and offset by steps and words of columns: zero beyond the last column, where a neuron never fires.
pub fn pack_norms(layer: &ProgrammedLayer, steps: usize) -> Vec<f32> {
    let columns = layer.plan.columns();
    let words = column_words(&layer.plan);
    let mut packed = vec![0.0; steps * words * 2 * LANES];
    for (n, values) in [&layer.gain, &layer.offset].into_iter().enumerate() {
        for (i, value) in values.iter().enumerate() {
            let (step, column) = (i / columns, i % columns);
            packed[((step * words + column / LANES) * 2 + n) * LANES + column % LANES] = *value;
        }
    }
    packed
}
