//! An entry of a model file's `layers`: an operator, where its input comes from, and what else joins there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::{Connection, Convolution};
use super::layer::NormKind;
use super::neuron::{Neuron, OwnNeuron};
use super::pool::Pool;
use super::readout::Readout;
use crate::config::is_default;
use crate::numeric::Shape;

/// The keys that hold for every entry of a model.
pub(super) struct ModelFrame {
    /// Time steps.
    pub steps: usize,
    /// Classes of the readout.
    pub classes: usize,
    /// The input's shape.
    pub input: Shape,
    /// Neurons of entries that have none of their own.
    pub neuron: Neuron,
    /// The norm of entries that have none of their own.
    pub norm: NormKind,
    /// The readout.
    pub readout: Readout,
}

/// One operator, what leads to it, and what stands behind it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    /// Its name; absent: `conv1`, `fc1`, `pool1`, `concat1`, `delay1` and so on, counted by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name of the entry whose pulses it takes, or `"input"`; absent: the entry before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A convolution: its channels, with a kernel of 3 by 3 that moves by a pixel and a rim that keeps the map's size,
    /// or a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conv: Option<Convolution>,
    /// A convolution along the columns of a map of one row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conv1d: Option<Convolution>,
    /// A pool: the window that spikes are averaged in, 2 of 2 by 2 with stride 2 (behind `conv1d` of
    /// two columns), `[rows, columns]`, `"global"`, the whole map, or a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// A fully connected layer: its width, or a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fc: Option<Connection>,
    /// The names of entries whose channels stand here side by side, in this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concat: Option<Vec<String>>,
    /// Steps by which the pulses come later: a digital queue. Before the first of them nothing comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<usize>,
    /// The name of an entry before it with neurons: the sums of this matrix join their current, and it has none of its
    /// own. It sends nothing: the entry behind it takes what the one before it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joins: Option<String>,
    /// Whether a matrix that joins takes the pulses of the step before, from the neurons that it joins or from later
    /// ones. In training, matrices that take what runs step by step with it have no norm.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delayed: bool,
    /// Whether the neurons' pulses come back to them in the next step through a second matrix, `NAME_rec`: fully
    /// connected, or a convolution of 3 by 3.
    #[serde(default, skip_serializing_if = "is_default")]
    pub recurrent: bool,
    /// Entries whose pulses join the neurons' current, each counting 1, or what a pool made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Names>,
    /// Entries whose neurons' currents join that of these neurons (membrane shortcuts).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_current: Option<Names>,
    /// Entries whose pulses are added to those that these neurons send: small integers (spike-element-wise addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_behind: Option<Names>,
    /// A pool of the matrix's share of the current, behind its norm and in front of the neurons; as `pool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_current: Option<Pool>,
    /// The layer's own norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormKind>,
    /// Constants of the layer's own neurons; those that are absent are the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neuron: Option<OwnNeuron>,
}

/// A name, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a name, or a list of names")]
pub(super) enum Names {
    One(String),
    Several(Vec<String>),
}

/// The operator of an item.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operator {
    Conv(Convolution),
    Conv1d(Convolution),
    Fc(Connection),
    Pool(Pool),
    Concat(Vec<String>),
    Delay(usize),
}

impl Item {
    /// Its operator; none unless there is exactly one.
    pub fn operator(&self) -> Option<Operator> {
        let Item { conv, conv1d, pool, fc, concat, delay, .. } = self;
        let all = [
            conv.map(Operator::Conv),
            conv1d.map(Operator::Conv1d),
            pool.map(Operator::Pool),
            fc.map(Operator::Fc),
            concat.clone().map(Operator::Concat),
            delay.map(Operator::Delay),
        ];
        let mut there = all.into_iter().flatten();
        there.next().filter(|_| there.next().is_none())
    }

    /// Whether it has a matrix.
    pub fn has_matrix(&self) -> bool {
        self.conv.is_some() || self.conv1d.is_some() || self.fc.is_some()
    }

    /// Whether it has neurons of its own.
    pub fn has_neurons(&self) -> bool {
        self.has_matrix() && self.joins.is_none()
    }

    /// Its neurons, in a model with these.
    pub fn neuron_in(&self, model: Neuron) -> Neuron {
        self.neuron.map_or(model, |own| own.in_model(model))
    }

    /// The keys that are set beside the operator, its name and where it comes from.
    pub fn extras(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("joins", self.joins.is_some()),
            ("delayed", self.delayed),
            ("recurrent", self.recurrent),
            ("add", self.add.is_some()),
            ("add_current", self.add_current.is_some()),
            ("add_behind", self.add_behind.is_some()),
            ("pool_current", self.pool_current.is_some()),
            ("norm", self.norm.is_some()),
            ("neuron", self.neuron.is_some()),
        ];
        keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key)
    }

    /// Every entry whose pulses it reads by name.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        let [add, behind] = [&self.add, &self.add_behind].map(|names| Names::list(names).iter());
        let concat = self.concat.iter().flatten();
        self.from.iter().chain(concat).chain(add).chain(behind).map(String::as_str)
    }
}

impl Names {
    /// The names; none where there are none.
    pub fn list(names: &Option<Names>) -> &[String] {
        match names {
            None => &[],
            Some(Names::One(name)) => std::slice::from_ref(name),
            Some(Names::Several(names)) => names,
        }
    }
}
