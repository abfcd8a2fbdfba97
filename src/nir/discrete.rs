//! Neurons of continuous time as neurons that step.
//!
//! | | forward Euler | exact |
//! |---|---|---|
//! | leak λ | 1 − dt/τ | exp(−dt/τ) |
//! | factor of the current | R·dt/τ | R·(1 − λ) |
//! | leak α of the synaptic current | 1 − dt/τ_syn | exp(−dt/τ_syn) |
//! | its factor | w_in·dt/τ_syn | w_in·(1 − α) |
//! | `I`, `IF` | λ = 1, factor R·dt | the same |
//! | `Threshold` | λ = 0, factor 1, no reset | the same |
//!
//! A step's synaptic current reaches the membrane in the same step. Potentials are counted from `v_leak`, where
//! membranes begin: thresholds and resets are less by it.

use super::node::{NeuronKind, NirNeurons, NirNumbers};

/// The way from time to steps.
///
/// # Examples
/// ```
/// # use crosspike::{Fires, Model, Network, NirOptions, Reset, ResetAt, nir_export};
/// use crosspike::{Discretisation, nir_import};
///
/// # let file = std::env::temp_dir().join(format!("crosspike-method-{}.nir", std::process::id()));
/// # let model = Model::named("digits", &["norm=batch".into()])?;
/// # nir_export(&model, &Network::xavier(&model, 1), 1e-4, &file)?;
/// # let of = |method| NirOptions {
/// #     name: "net".into(), dt: 1e-4, method, reset: Reset::Subtract, reset_at: ResetAt::Spike,
/// #     fires: Fires::Above, readout: None, steps: 8,
/// # };
/// // The neurons of the file have a time constant of 20 steps.
/// assert!(nir_import(&file, &of(Discretisation::Euler))?.text.contains("leak = 0.95,")); // 1 − 1/20
/// assert!(nir_import(&file, &of(Discretisation::Exact))?.text.contains("leak = 0.9512294")); // exp(−1/20)
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discretisation {
    /// Forward Euler, as the simulators step.
    Euler,
    /// The exact solution between steps.
    Exact,
}

/// Neurons that step: a value for all, or one each.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscreteNeurons {
    /// Leak λ.
    pub leak: NirNumbers,
    /// Leak α of the synaptic current; none of neurons without.
    pub synaptic_leak: Option<NirNumbers>,
    /// Factor of the current.
    pub gain: NirNumbers,
    /// Threshold, from `v_leak` on.
    pub threshold: NirNumbers,
    /// The potential of a reset, from `v_leak` on.
    pub reset: NirNumbers,
}

/// The most that two factors differ by which only roundings set apart.
pub const NEAR: f64 = 1e-6;

impl DiscreteNeurons {
    /// Neurons with steps of `dt` seconds. Errors begin behind the node's name.
    pub fn of(neurons: &NirNeurons, dt: f64, method: Discretisation) -> Result<Self, String> {
        let NirNeurons { kind, tau, synapse, resistance, v_leak, threshold, v_reset } = neurons;
        let share = |tau: &NirNumbers| {
            let part = |tau: f64| match method {
                Discretisation::Euler => dt / tau,
                Discretisation::Exact => -(-dt / tau).exp_m1(),
            };
            let parts = tau.map(part);
            match parts.values.iter().find(|part| **part > 1.0 + NEAR) {
                Some(_) => {
                    Err(format!(" has a time constant below the step of {dt} s; expected a shorter step (--dt)"))
                }
                None => Ok(parts.map(|part| part.min(1.0))),
            }
        };
        let kept = |share: &NirNumbers| share.map(|share| 1.0 - share);
        let (leak, mut gain) = match (kind, tau) {
            (NeuronKind::Threshold, _) => (NirNumbers::one(0.0), NirNumbers::one(1.0)),
            (_, None) => (NirNumbers::one(1.0), resistance.map(|r| r * dt)),
            (_, Some(tau)) => {
                let share = share(tau)?;
                (kept(&share), resistance.times(&share)?)
            }
        };
        let mut synaptic_leak = None;
        if let Some((tau, weight)) = synapse {
            let share = share(tau)?;
            synaptic_leak = Some(kept(&share));
            gain = gain.times(&share.times(weight)?)?;
        }
        let from_leak = |potential: &NirNumbers| potential.less(v_leak);
        let reset = v_reset.clone().unwrap_or(NirNumbers::one(0.0));
        Ok(DiscreteNeurons { leak, synaptic_leak, gain, threshold: from_leak(threshold)?, reset: from_leak(&reset)? })
    }
}

impl NirNumbers {
    /// A value for all.
    pub fn one(value: f64) -> Self {
        NirNumbers { shape: vec![], values: vec![value] }
    }

    /// Each value put through a function.
    pub fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        NirNumbers { shape: self.shape.clone(), values: self.values.iter().map(|value| of(*value)).collect() }
    }

    /// Products, value by value; a single one stands for all.
    pub fn times(&self, other: &Self) -> Result<Self, String> {
        self.with(other, |a, b| a * b)
    }

    fn less(&self, other: &Self) -> Result<Self, String> {
        self.with(other, |a, b| a - b)
    }

    /// Values put through a function pair by pair; a single one stands for all.
    pub fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Result<Self, String> {
        match (&self.values[..], &other.values[..]) {
            (_, [one]) => Ok(self.map(|value| of(value, *one))),
            ([one], _) => Ok(other.map(|value| of(*one, value))),
            (all, others) if all.len() == others.len() => {
                let values = all.iter().zip(others).map(|(a, b)| of(*a, *b)).collect();
                Ok(NirNumbers { shape: self.shape.clone(), values })
            }
            (all, others) => Err(format!(" has parameters of {} and of {} neurons", all.len(), others.len())),
        }
    }
}
