//! Operators as a model file writes them: a convolution, and the window that it is, and a fully connected layer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::numeric::Shape;
use crate::numeric::unrolling::Window;

/// The widest kernel, and the longest stride and dilation.
const MOST: usize = 64;

/// A convolution: its channels alone, with a kernel of 3 by 3, or a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenConvolution", into = "WrittenConvolution")]
#[schemars(with = "WrittenConvolution")]
pub(super) struct Convolution {
    pub channels: usize,
    table: Option<ConvolutionTable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number of channels, or a table with `channels`, `kernel`, `stride`, `padding`, `dilation`, \
                 `groups`, `bias`"
)]
enum WrittenConvolution {
    Channels(usize),
    Table(ConvolutionTable),
}

/// A convolution with a window of its own. Pairs are of rows and columns; a number stands for both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Table")]
struct ConvolutionTable {
    /// Output channels.
    channels: usize,
    /// Positions of the window.
    #[serde(default = "three")]
    kernel: Pair,
    /// Pixels from one place of the window to the next.
    #[serde(default = "one")]
    stride: Pair,
    /// Rim of zeros around the map; absent: half of what the window reaches beyond a pixel, rounded
    /// down: moved by a pixel, an odd window keeps a map's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    padding: Option<Pair>,
    /// Pixels from one position of the window to the next.
    #[serde(default = "one")]
    dilation: Pair,
    /// Groups of channels, each of which meets its own inputs alone; as many as input channels: depthwise.
    #[serde(default = "no_groups", skip_serializing_if = "is_one")]
    groups: usize,
    /// Whether it has a bias, added digitally.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bias: bool,
}

/// Rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or [rows, columns]")]
pub(super) enum Pair {
    Both(usize),
    Each([usize; 2]),
}

impl Pair {
    /// Rows and columns; where a number is of columns alone, the rows are given.
    pub fn along(self, one_dimensional: bool, rows: usize) -> [usize; 2] {
        match self {
            Pair::Both(n) if one_dimensional => [rows, n],
            Pair::Both(n) => [n, n],
            Pair::Each(pair) => pair,
        }
    }
}

fn no_groups() -> usize {
    1
}

fn is_one(groups: &usize) -> bool {
    *groups == 1
}

fn one() -> Pair {
    Pair::Both(1)
}

fn three() -> Pair {
    Pair::Both(3)
}

impl From<WrittenConvolution> for Convolution {
    fn from(written: WrittenConvolution) -> Self {
        match written {
            WrittenConvolution::Channels(channels) => Convolution { channels, table: None },
            WrittenConvolution::Table(table) => Convolution { channels: table.channels, table: Some(table) },
        }
    }
}

impl From<Convolution> for WrittenConvolution {
    fn from(convolution: Convolution) -> Self {
        convolution.table.map_or(WrittenConvolution::Channels(convolution.channels), WrittenConvolution::Table)
    }
}

impl Convolution {
    /// Whether it has a bias.
    pub fn bias(&self) -> bool {
        self.table.is_some_and(|table| table.bias)
    }

    /// Its groups of channels; an error unless they divide those of a map and its own.
    pub fn groups(&self, map: Shape) -> Result<usize, (&'static str, String)> {
        let groups = self.table.map_or(1, |table| table.groups);
        if groups == 0 || !map.channels.is_multiple_of(groups) || !self.channels.is_multiple_of(groups) {
            let message =
                format!("{groups}, expected a divisor of {} input and {} output channels", map.channels, self.channels);
            return Err((".groups", message));
        }
        Ok(groups)
    }

    /// The window that moves over a map, of one row where it has columns alone. An error is of a key behind the
    /// convolution's.
    pub fn window(&self, one_dimensional: bool, map: Shape) -> Result<Window, (&'static str, String)> {
        let table = self.table.unwrap_or(ConvolutionTable {
            channels: self.channels,
            kernel: three(),
            stride: one(),
            padding: None,
            dilation: one(),
            groups: 1,
            bias: false,
        });
        if one_dimensional && map.height != 1 {
            return Err(("", format!("moves along columns alone, and the map is {map}; expected a map of one row")));
        }
        let along = |key, pair: Pair, rows: usize| match (pair, one_dimensional) {
            (Pair::Each(_), true) => Err((key, "a pair, expected a number: the window has columns alone".to_owned())),
            (pair, _) => Ok(pair.along(one_dimensional, rows)),
        };
        let window = Window {
            kernel: along(".kernel", table.kernel, 1)?,
            stride: along(".stride", table.stride, 1)?,
            dilation: along(".dilation", table.dilation, 1)?,
            padding: [0; 2],
        };
        for (key, pair) in [(".kernel", window.kernel), (".stride", window.stride), (".dilation", window.dilation)] {
            if let Some(n) = pair.into_iter().find(|n| !(1..=MOST).contains(n)) {
                return Err((key, format!("{n}, expected 1 to {MOST}")));
            }
        }
        let reach = window.reach();
        let padding = match table.padding {
            Some(padding) => along(".padding", padding, 0)?,
            None => reach.map(|reach| (reach - 1) / 2),
        };
        if let Some((n, reach)) = padding.into_iter().zip(reach).find(|(n, reach)| n >= reach) {
            return Err((".padding", format!("{n}, expected less than the window's reach of {reach} pixels")));
        }
        let window = Window { padding, ..window };
        match window.output(map.height, map.width) {
            Some(_) => Ok(window),
            None => Err(("", format!("a window of {} x {} pixels does not fit a map of {map}", reach[0], reach[1]))),
        }
    }
}

/// A fully connected layer: its width alone, or a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenConnection", into = "WrittenConnection")]
#[schemars(with = "WrittenConnection")]
pub(super) struct Connection {
    pub width: usize,
    pub bias: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a width, or a table with `width` and `bias`")]
enum WrittenConnection {
    Width(usize),
    Table(ConnectionTable),
}

/// A fully connected layer with a bias.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConnectionTable {
    /// Outputs.
    width: usize,
    /// Whether it has a bias, added digitally.
    #[serde(default)]
    bias: bool,
}

impl From<WrittenConnection> for Connection {
    fn from(written: WrittenConnection) -> Self {
        match written {
            WrittenConnection::Width(width) => Connection { width, bias: false },
            WrittenConnection::Table(ConnectionTable { width, bias }) => Connection { width, bias },
        }
    }
}

impl From<Connection> for WrittenConnection {
    fn from(Connection { width, bias }: Connection) -> Self {
        if bias { WrittenConnection::Table(ConnectionTable { width, bias }) } else { WrittenConnection::Width(width) }
    }
}
