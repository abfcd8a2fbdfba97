//! The cells that are worth to be verified: those whose deviation moves sums most.
//!
//! A cell that lands δ beside its target moves its column's sums by δ·x, so that its part in their squared error is
//! `⟨x²⟩·δ²`, ⟨x²⟩ the mean square of its row's input; beside the column's signal `Σ ⟨x²⟩·q²` it counts by `⟨x²⟩/Σ
//! ⟨x²⟩·q²`. Cells of rows that are hardly ever driven, and of columns with a large signal, may land where they will.

/// Which of a layer's cells, `[columns, rows]`, are verified: so large a share of them, those that count most, of
/// equals the first. `squares` are the mean squares of each row's input, group after group; where they are not known,
/// all are.
pub fn verified(target: &[f32], rows: usize, squares: &[f64], share: f64) -> Vec<bool> {
    let chosen = (share * target.len() as f64).ceil() as usize;
    if squares.is_empty() || chosen >= target.len() {
        return vec![true; target.len()];
    }
    let (columns, groups) = (target.len() / rows, squares.len() / rows);
    let of_column = |(column, q): (usize, &[f32])| -> Vec<f64> {
        let squares = &squares[column * groups / columns * rows..][..rows];
        let signal = q.iter().zip(squares).fold(0.0, |sum, (q, square)| sum + square * f64::from(*q).powi(2));
        squares.iter().map(|square| if signal > 0.0 { square / signal } else { 0.0 }).collect()
    };
    let counts: Vec<f64> = target.chunks(rows).enumerate().flat_map(of_column).collect();
    let mut order: Vec<usize> = (0..target.len()).collect();
    // An order without ties: which cells are chosen does not depend on how they are found.
    order.select_nth_unstable_by(chosen, |a, b| counts[*b].total_cmp(&counts[*a]).then(a.cmp(b)));
    let mut verified = vec![false; target.len()];
    order[..chosen].iter().for_each(|i| verified[*i] = true);
    verified
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driven_rows_and_faint_columns_come_first() {
        // Two columns of three rows; the second row is driven most, the second column has a quarter of the signal.
        let target = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5];
        let squares = [0.1, 0.8, 0.0];
        let of = |share: f64| verified(&target, 3, &squares, share);
        assert_eq!(of(0.0), [false; 6]);
        assert_eq!(of(0.17), [false, true, false, false, true, false]);
        assert_eq!(of(0.5), [false, true, false, true, true, false]);
        assert_eq!(of(1.0), [true; 6]);
        assert_eq!(verified(&target, 3, &[], 0.2), [true; 6]);
        // Each column of two groups has rows of its own.
        let of_groups = verified(&target, 3, &[0.0, 0.0, 0.4, 0.9, 0.0, 0.0], 0.3);
        assert_eq!(of_groups, [false, false, true, true, false, false]);
    }
}
