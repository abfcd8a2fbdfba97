//! The order of the images in an epoch and the split into training and validation images: pure functions of the seed.

use ndarray_rand::rand::RngCore;

use crate::rng::{Stream, Substream, stream_key};

/// The order of `n` images in an epoch: shuffled, or as they are stored.
pub fn epoch_order(n: usize, seed: u64, epoch: u64, shuffle: bool) -> Vec<usize> {
    if shuffle { permutation(n, stream_key(seed, Stream::Shuffle, epoch)) } else { (0..n).collect() }
}

/// Splits `n` training images at random into those to train on and those to validate with, each in ascending order.
///
/// The second part is the nearest whole number to `share` of them, for a share in [0, 1).
pub fn validation_split(n: usize, share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let held_out = ((n as f64 * share).round() as usize).min(n);
    let mut validation = permutation(n, stream_key(seed, Stream::Split, 0));
    let mut training = validation.split_off(held_out);
    training.sort_unstable();
    validation.sort_unstable();
    (training, validation)
}

/// Fisher–Yates; `n` is at most 2^32.
pub(crate) fn permutation(n: usize, key: [u32; 2]) -> Vec<usize> {
    let mut stream = Substream::new(key, [0; 3]);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, below(&mut stream, last as u32 + 1) as usize);
    }
    order
}

/// An unbiased draw from `0..bound` (Lemire, *Fast random integer generation in an interval*, 2019).
pub(super) fn below(stream: &mut Substream, bound: u32) -> u32 {
    let biased = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(stream.next_u32()) * u64::from(bound);
        if product as u32 >= biased {
            return (product >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_of_its_seed_and_epoch() {
        let order = epoch_order(1000, 1, 3, true);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, epoch_order(1000, 1, 3, false));
        assert_ne!(sorted, order);
        assert_eq!(order, epoch_order(1000, 1, 3, true));
        assert_ne!(order, epoch_order(1000, 1, 4, true));
        assert_ne!(order, epoch_order(1000, 2, 3, true));
        assert!(epoch_order(0, 1, 0, true).is_empty());
        assert_eq!(epoch_order(1, 1, 0, true), [0]);
    }

    #[test]
    fn every_order_of_three_comes_up_alike() {
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..6000 {
            *counts.entry(epoch_order(3, 9, epoch, true)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (880..=1120).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_validation_split_holds_every_image_once() {
        for (share, held_out) in [(0.0, 0), (0.1, 10), (0.25, 25), (0.999, 100), (f64::NAN, 0), (7.0, 100)] {
            let (training, validation) = validation_split(100, share, 5);
            assert_eq!((training.len(), validation.len()), (100 - held_out, held_out), "share {share}");
            let mut all = [training, validation].concat();
            all.sort_unstable();
            assert_eq!(all, (0..100).collect::<Vec<_>>());
        }
        assert_eq!(validation_split(100, 0.3, 5), validation_split(100, 0.3, 5));
        assert_ne!(validation_split(100, 0.3, 5), validation_split(100, 0.3, 6));
    }
}
