//! The options of an import: all that a NIR file does not tell of a network.

use super::discrete::Discretisation;
use crate::network::neuron::{Fires, ResetAt};
use crate::network::readout::ReadoutKind;

/// The reset of spiking neurons, which NIR files of other tools' networks often do not tell.
///
/// # Examples
/// ```
/// # use crosspike::{Discretisation, Fires, Model, Network, NirOptions, ResetAt, nir_export};
/// use crosspike::{Reset, nir_import};
///
/// # let file = std::env::temp_dir().join(format!("crosspike-reset-{}.nir", std::process::id()));
/// # let model = Model::named("digits", &["norm=batch".into()])?;
/// # nir_export(&model, &Network::xavier(&model, 1), 1e-4, &file)?;
/// # let of = |reset| NirOptions {
/// #     name: "net".into(), dt: 1e-4, method: Discretisation::Euler, reset, reset_at: ResetAt::Spike,
/// #     fires: Fires::Above, readout: None, steps: 8,
/// # };
/// assert!(nir_import(&file, &of(Reset::Value))?.text.contains("reset = \"zero\""));
/// assert!(nir_import(&file, &of(Reset::None))?.text.contains("reset = \"none\""));
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The reset goes to the node's `v_reset`, or to 0, as NIR defines it.
    Value,
    /// The threshold is taken away.
    Subtract,
    /// A spike leaves the potential as it is.
    None,
}

/// The options of an import, which a file does not tell.
///
/// # Examples
/// ```
/// use crosspike::{Discretisation, Fires, NirOptions, Reset, ResetAt};
///
/// // Neurons `Leaky` of snnTorch, which subtract their threshold a step later, and `LIFNode` of SpikingJelly.
/// let of_snntorch = NirOptions {
///     name: "net".into(), dt: 1e-4, method: Discretisation::Euler, reset: Reset::Subtract,
///     reset_at: ResetAt::Next, fires: Fires::Above, readout: None, steps: 25,
/// };
/// let (reset, reset_at, fires) = (Reset::Value, ResetAt::Spike, Fires::Reached);
/// let of_spikingjelly = NirOptions { reset, reset_at, fires, ..of_snntorch.clone() };
/// assert_eq!((of_spikingjelly.dt, of_spikingjelly.steps), (of_snntorch.dt, 25));
/// ```
#[derive(Clone, Debug)]
pub struct NirOptions {
    /// The model's name.
    pub name: String,
    /// Seconds of a step.
    pub dt: f64,
    /// The way to steps.
    pub method: Discretisation,
    /// The reset of a spike.
    pub reset: Reset,
    /// The step in which the reset happens.
    pub reset_at: ResetAt,
    /// Where a potential fires.
    pub fires: Fires,
    /// The figures that are logits; absent: spike counts of neurons that fire, the last potential of others, means of
    /// sums without neurons.
    pub readout: Option<ReadoutKind>,
    /// Steps of the model.
    pub steps: usize,
}
