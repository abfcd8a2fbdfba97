//! The deviation of a cell from its target counts at the output by how much its row is driven, beside the signal of its
//! column.

use super::site::Site;

/// The weight of a squared deviation of each element, in shares of the signal of its column, averaged over columns.
pub fn weights(site: &Site, target: &[f32]) -> Vec<f32> {
    let of_column = |(column, target): (usize, &[f32])| -> Vec<f32> {
        let inputs = site.inputs_of(column).iter();
        let inputs: Vec<f64> =
            inputs.map(|input| if site.is_trimmed() { input.variance() } else { input.square }).collect();
        let signal = target.iter().zip(&inputs).fold(0.0, |sum, (q, v)| sum + v * f64::from(*q).powi(2));
        let scale = if signal > 0.0 { 1.0 / (signal * site.columns as f64) } else { 0.0 };
        // A chip that is profiled has no inputs yet: all count the same.
        if inputs.is_empty() {
            return vec![1.0 / target.len() as f32; target.len()];
        }
        inputs.iter().map(|v| (v * scale) as f32).collect()
    };
    target.chunks(site.rows).enumerate().flat_map(of_column).collect()
}
