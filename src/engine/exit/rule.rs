//! When inference may stop, as users write it, and what that means on a network.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::Exit;
use crate::error::{Error, Result};
use crate::network::{Layer, Model, Network, NormKind};

/// The threshold of `gamma` in the BNTT paper.
pub const PUBLISHED_GAMMA: f64 = 0.1;

/// When inference may stop, with its threshold: `gamma:0.1`, `confidence:0.9`; `gamma` alone has the published
/// threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum ExitRule {
    /// Once every layer's mean γ_t is below it.
    Gamma(f64),
    /// Once an image's largest softmax probability reaches it.
    Confidence(f64),
}

impl ExitRule {
    /// `gamma` or `confidence`.
    pub fn name(self) -> &'static str {
        match self {
            ExitRule::Gamma(_) => "gamma",
            ExitRule::Confidence(_) => "confidence",
        }
    }

    /// The threshold.
    pub fn threshold(self) -> f64 {
        match self {
            ExitRule::Gamma(threshold) | ExitRule::Confidence(threshold) => threshold,
        }
    }

    /// An error where `gamma` asks a model for scales of every step that its layers do not have.
    pub fn check(self, model: &Model) -> Result<()> {
        let spiking = |layer: &Layer| layer.leads && layer.norm != NormKind::Bntt;
        match (self, model.layers().iter().find(|layer| spiking(layer))) {
            (ExitRule::Gamma(_), Some(layer)) => Err(Error::Mismatch(format!(
                "exit by gamma reads the scale of every step, and `{}` has one norm for all steps, or none; expected \
                 norm = \"bntt\" in every layer, or exit by confidence",
                layer.name
            ))),
            _ => Ok(()),
        }
    }

    /// The rule on a network: `gamma` is decided before anything runs.
    ///
    /// # Errors
    /// Where `gamma` asks a network for scales of every step that it does not have.
    pub fn of(self, model: &Model, network: &Network) -> Result<Exit> {
        self.check(model)?;
        match self {
            ExitRule::Gamma(threshold) => Ok(Exit::After(steps_by_gamma(network, threshold))),
            ExitRule::Confidence(threshold) => Ok(Exit::Confident(threshold)),
        }
    }
}

/// Steps up to the first at which every layer's mean γ_t is below the threshold; all where there is none.
fn steps_by_gamma(network: &Network, threshold: f64) -> usize {
    let norms = || network.layers.iter().filter_map(|layer| layer.norm.as_ref());
    let Some(steps) = norms().next().map(|norm| norm.tracked.len()) else { return usize::MAX };
    let is_below = |t: usize| {
        norms().all(|norm| {
            let channels = norm.gamma.len() / steps;
            let gamma = &norm.gamma[t * channels..(t + 1) * channels];
            gamma.iter().map(|g| f64::from(*g)).sum::<f64>() / (channels as f64) < threshold
        })
    };
    (0..steps).find(|t| is_below(*t)).map_or(steps, |t| t + 1)
}

/// The rule of a key that may also say `none`: then all steps run.
pub fn rule_or_none(text: &str) -> Result<Option<ExitRule>> {
    if text == "none" { Ok(None) } else { text.parse().map(Some) }
}

/// Reads a key that holds a rule or `none`.
///
/// # Errors
/// Where it is no text, neither `none` nor a rule.
pub fn read_rule_or_none<'de, D: Deserializer<'de>>(text: D) -> std::result::Result<Option<ExitRule>, D::Error> {
    rule_or_none(&String::deserialize(text)?).map_err(D::Error::custom)
}

impl FromStr for ExitRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            let message =
                "expected gamma, gamma:TH or confidence:TH, TH a number of at least 0, such as confidence:0.9";
            Err(Error::Usage(format!("early exit `{text}`: {message}")))
        };
        let (name, threshold) = match text.split_once(':') {
            Some((name, threshold)) => (name, threshold.trim().parse::<f64>().ok()),
            None if text == "gamma" => (text, Some(PUBLISHED_GAMMA)),
            None => return refuse(),
        };
        match (name, threshold.filter(|th| th.is_finite() && *th >= 0.0)) {
            ("gamma", Some(threshold)) => Ok(ExitRule::Gamma(threshold)),
            ("confidence", Some(threshold)) => Ok(ExitRule::Confidence(threshold)),
            _ => refuse(),
        }
    }
}

impl fmt::Display for ExitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.threshold())
    }
}

impl TryFrom<String> for ExitRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ExitRule> for String {
    fn from(rule: ExitRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::constants::Constants;
    use crate::network::weights::{LayerWeights, Norm};

    /// A network of spiking layers with these γ, `[layers][steps][channels]`, and a readout.
    fn network(gamma: &[&[&[f32]]]) -> Network {
        let layer = |gamma: &&[&[f32]]| {
            let values: Vec<f32> = gamma.concat();
            let n = values.len();
            let norm = Norm {
                gamma: values,
                shift: None,
                mean: vec![0.0; n],
                var: vec![1.0; n],
                tracked: vec![0; gamma.len()],
            };
            LayerWeights { rram: vec![], sram: None, bias: None, norm: Some(norm), constants: Constants::new() }
        };
        let readout = LayerWeights { rram: vec![], sram: None, bias: None, norm: None, constants: Constants::new() };
        Network { layers: gamma.iter().map(layer).chain([readout]).collect(), form: None }
    }

    #[test]
    fn gamma_stops_after_the_first_step_at_which_every_layer_is_below() {
        // Means by step, the first layer: 0.5, 0.05, 0.2, 0.05, 0; the second: 0.04, 0.3, 0.02, 0.09, 0.
        let network = network(&[
            &[&[0.9, 0.1], &[0.2, -0.1], &[0.2, 0.2], &[0.05, 0.05], &[0.0, 0.0]],
            &[&[0.04], &[0.3], &[0.02], &[0.09], &[0.0]],
        ]);
        let cases = [(0.1, 4), (0.09, 5), (0.2, 4), (0.21, 3), (0.31, 2), (0.6, 1), (0.0, 5)];
        for (threshold, steps) in cases {
            assert_eq!(steps_by_gamma(&network, threshold), steps, "{threshold}");
        }
    }

    #[test]
    fn rules_are_strings() {
        for (text, rule) in [
            ("gamma", ExitRule::Gamma(0.1)),
            ("gamma:0.25", ExitRule::Gamma(0.25)),
            ("confidence:0.9", ExitRule::Confidence(0.9)),
            ("confidence:2", ExitRule::Confidence(2.0)),
        ] {
            assert_eq!(text.parse::<ExitRule>().unwrap(), rule);
            assert_eq!(rule.to_string().parse::<ExitRule>().unwrap(), rule);
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!(json, format!("\"{rule}\""));
            assert_eq!(serde_json::from_str::<ExitRule>(&json).unwrap(), rule);
        }
        for text in
            ["", "gama:0.1", "confidence", "confidence:", "gamma:-1", "gamma:nan", "confidence:inf", "gamma:1:2"]
        {
            let message = text.parse::<ExitRule>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")) && message.contains("confidence:0.9"), "{message}");
        }
    }

    #[test]
    fn a_rule_by_scales_of_every_step_asks_for_them() {
        let model = |norm: &str| {
            let text = format!(
                "name = \"m\"\nsteps = 2\nclasses = 3\ninput = {{ channels = 1, height = 4, width = 4 }}\nlayers = [{{ \
                 conv = 2 }}, {{ fc = 3, norm = \"{norm}\" }}]"
            );
            let document = crate::config::Document::parse_text(std::path::Path::new("m.toml"), text).unwrap();
            Model::from_document(&document).unwrap()
        };
        for (norm, fine) in [("bntt", true), ("batch", false), ("none", false)] {
            let (model, gamma) = (model(norm), ExitRule::Gamma(0.5));
            assert_eq!(gamma.check(&model).is_ok(), fine, "{norm}");
            assert_eq!(gamma.of(&model, &Network::xavier(&model, 1)).is_ok(), fine, "{norm}");
            assert!(ExitRule::Confidence(0.5).check(&model).is_ok());
        }
    }
}
