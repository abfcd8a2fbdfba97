//! What an attack is, as a file or the command line says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Method};
use crate::data::Dataset;
use crate::error::{Error, Result};

/// Steps of PGD where none are given.
const PGD_STEPS: usize = 10;

/// `[attack]`: how images are perturbed, and how far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttackPlan {
    /// The method.
    pub method: MethodName,
    /// Steps of `pgd`; absent: 10.
    pub steps: Option<usize>,
    /// The size of a step of `pgd`, in the unit of ε; absent: 2.5·ε/steps.
    pub step_size: Option<f64>,
    /// The largest changes of a pixel.
    pub epsilon: Vec<f64>,
}

/// The name of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum MethodName {
    /// One step by the gradient's sign (arXiv:1412.6572).
    Fgsm,
    /// Projected gradient descent (arXiv:1706.06083).
    Pgd,
}

impl MethodName {
    /// The name of the method as a file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            MethodName::Fgsm => "fgsm",
            MethodName::Pgd => "pgd",
        }
    }
}

impl AttackPlan {
    /// The largest change of a pixel that is asked for.
    pub fn largest_epsilon(&self) -> f64 {
        self.epsilon.iter().copied().fold(0.0, f64::max)
    }

    /// The method; an error where keys do not belong to it.
    pub fn method(&self) -> Result<Method> {
        match self.method {
            MethodName::Fgsm if self.steps.is_some() || self.step_size.is_some() => Err(Error::Usage(
                "steps and step size belong to the method `pgd`; expected none, for fgsm takes one step of ε".into(),
            )),
            MethodName::Fgsm => Ok(Method::Fgsm),
            MethodName::Pgd => Ok(Method::Pgd { steps: self.steps.unwrap_or(PGD_STEPS), step_size: self.step_size }),
        }
    }

    /// The attack at all its ε; an error if a number is out of place.
    pub fn attack(&self, seed: u64, data: &Dataset) -> Result<Attack> {
        Attack::new(self.method()?, self.epsilon.clone(), seed, data)
    }
}
