//! A value in a table, and how files have it.

/// A value in a table.
///
/// # Examples
/// ```
/// use crosspike::Cell;
///
/// let cells = [Cell::Whole(20), Cell::Number(82.900001), Cell::Text("conv1".into()), Cell::Nothing];
/// assert_eq!(cells.map(|cell| cell.text()), ["20", "82.900001", "conv1", ""]);
/// assert_eq!(Cell::from(Some(0.5)), Cell::Number(0.5));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// What is not known, or does not apply.
    Nothing,
    /// A whole number.
    Whole(u64),
    /// A measured number.
    Number(f64),
    /// A setting as it is written, or a name.
    Text(String),
}

impl Cell {
    /// The cell as files have it.
    pub fn text(&self) -> String {
        match self {
            Cell::Nothing => String::new(),
            Cell::Whole(value) => value.to_string(),
            Cell::Number(value) => number(*value),
            Cell::Text(text) => text.clone(),
        }
    }
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Cell::Nothing, Cell::Number)
    }
}

/// Six decimals, trailing zeros cut: more than a count of images can resolve.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
