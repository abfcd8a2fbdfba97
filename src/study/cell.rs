//! A value in a table, and how files have it.

/// A value in a table.
///
/// # Examples
/// ```
/// use crosspike::TableValue;
///
/// let (count, accuracy) = (TableValue::Whole(20), TableValue::Number(82.900001));
/// assert_eq!([count.text(), accuracy.text()], ["20", "82.900001"]);
/// assert_eq!([TableValue::Text("conv1".into()).text(), TableValue::Nothing.text()], ["conv1", ""]);
/// assert_eq!(TableValue::from(Some(0.5)), TableValue::Number(0.5));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum TableValue {
    /// What is not known, or does not apply.
    Nothing,
    /// A whole number.
    Whole(u64),
    /// A measured number.
    Number(f64),
    /// A setting as it is written, or a name.
    Text(String),
}

impl TableValue {
    /// The cell as files have it.
    pub fn text(&self) -> String {
        match self {
            TableValue::Nothing => String::new(),
            TableValue::Whole(value) => value.to_string(),
            TableValue::Number(value) => number(*value),
            TableValue::Text(text) => text.clone(),
        }
    }
}

impl From<Option<f64>> for TableValue {
    fn from(value: Option<f64>) -> Self {
        value.map_or(TableValue::Nothing, TableValue::Number)
    }
}

/// Six decimals, trailing zeros cut: more than a count of images can resolve.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
