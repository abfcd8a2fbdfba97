//! The assignment of least cost: each row of a matrix of costs gets a column of its own.
//!
//! Shortest augmenting paths with potentials (Kuhn, Naval Research Logistics Quarterly 2, 83, 1955; Jonker and
//! Volgenant, Computing 38, 325, 1987), in n²·m steps for n rows and m columns. All additions are made in one order, so
//! that ties fall the same way everywhere.

use crate::monitor::stop_if_asked;

/// The column that each of `rows` rows gets of `columns` ones, at least as many, so that the sum of `cost(row, column)`
/// is least.
///
/// The costs are finite; a column that a row must not get costs more than all that it may get together.
pub fn assign(rows: usize, columns: usize, cost: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    assert!(rows <= columns, "{rows} rows have {columns} columns");
    // Columns are counted from 1 here: column 0 stands for the row that is to be assigned.
    let (mut of_rows, mut of_columns) = (vec![0.0; rows], vec![0.0; columns + 1]);
    let mut holder: Vec<Option<usize>> = vec![None; columns + 1];
    for row in 0..rows {
        stop_if_asked();
        holder[0] = Some(row);
        let (mut reached, mut before) = (vec![f64::INFINITY; columns + 1], vec![0; columns + 1]);
        let mut is_done = vec![false; columns + 1];
        let mut at = 0;
        while let Some(held_by) = holder[at] {
            is_done[at] = true;
            let (mut next, mut least) = (0, f64::INFINITY);
            for column in (1..=columns).filter(|column| !is_done[*column]) {
                let reduced = cost(held_by, column - 1) - of_rows[held_by] - of_columns[column];
                if reduced < reached[column] {
                    (reached[column], before[column]) = (reduced, at);
                }
                if reached[column] < least {
                    (next, least) = (column, reached[column]);
                }
            }
            for column in 0..=columns {
                match holder[column].filter(|_| is_done[column]) {
                    Some(holder) => {
                        of_rows[holder] += least;
                        of_columns[column] -= least;
                    }
                    None => reached[column] -= least,
                }
            }
            at = next;
        }
        while at != 0 {
            holder[at] = holder[before[at]];
            at = before[at];
        }
    }
    let mut assigned = vec![0; rows];
    for (column, holder) in holder.iter().enumerate().skip(1) {
        holder.iter().for_each(|row| assigned[*row] = column - 1);
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least cost of all assignments, tried one by one.
    fn least(rows: usize, columns: usize, cost: &dyn Fn(usize, usize) -> f64, taken: u32) -> f64 {
        if rows == 0 {
            return 0.0;
        }
        let free = (0..columns).filter(|column| taken & 1 << column == 0);
        free.map(|column| cost(rows - 1, column) + least(rows - 1, columns, cost, taken | 1 << column))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn no_assignment_is_cheaper() {
        for (seed, (rows, columns)) in [(1, 1), (2, 2), (3, 5), (5, 5), (6, 7), (4, 8)].into_iter().enumerate() {
            // Whole numbers with many ties.
            let cost = |row: usize, column: usize| ((row * 37 + column * 101 + seed * 53) * 7919 % 23) as f64;
            let found = assign(rows, columns, cost);
            let mut once = found.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), rows, "{found:?}");
            let sum: f64 = found.iter().enumerate().map(|(row, column)| cost(row, *column)).sum();
            assert_eq!(sum, least(rows, columns, &cost, 0), "{rows} of {columns}: {found:?}");
        }
    }
}
