//! The ways of neurons that a NIR file does not tell: how they are reset, when, and whether they fire at their
//! threshold. An import is told them once for a whole network.

use super::NirResult;
use super::discrete::Discretisation;
use super::options::{NirOptions, Reset};
use crate::network::constants::Constant;
use crate::network::layer::Layer;
use crate::network::neuron::{Fires, MembraneReset, ResetAt};
use crate::network::readout::ReadoutKind;
use crate::network::{LayerKind, Model};

/// The ways of firing and of reset that all neurons of a network have alike.
pub(super) struct Told {
    fires: Fires,
    reset: Reset,
    reset_at: ResetAt,
}

impl Told {
    /// The ways of a model's neurons that fire.
    ///
    /// # Errors
    /// Where two layers differ in them: the second is named.
    pub fn of(model: &Model) -> NirResult<Self> {
        let graph = model.graph();
        let is_spiking = |layer: &&Layer| layer.leads || layer.kind == LayerKind::Readout && graph.reading.fires();
        let (mut fires, mut reset, mut reset_at) = (None, None, None);
        for layer in graph.layers.iter().filter(is_spiking) {
            let (neuron, own) = (layer.neuron, kind(layer.neuron.reset));
            let is_alike = *fires.get_or_insert(neuron.fires) == neuron.fires
                && *reset_at.get_or_insert(neuron.reset_at) == neuron.reset_at;
            if !is_alike || !forgets(layer) && *reset.get_or_insert(own) != own {
                return Err(format!(
                    "`{}` fires or is reset in another way than the layers before it, which a NIR file does not tell",
                    layer.name
                ));
            }
        }
        Ok(Told {
            fires: fires.unwrap_or(Fires::Above),
            reset: reset.unwrap_or(Reset::Value),
            reset_at: reset_at.unwrap_or(ResetAt::Spike),
        })
    }

    /// The options of an import that makes the same network again.
    pub fn options(&self, model: &Model, dt: f64) -> NirOptions {
        NirOptions {
            name: model.name.clone(),
            dt,
            method: Discretisation::Euler,
            reset: self.reset,
            reset_at: self.reset_at,
            fires: self.fires,
            readout: match model.graph().reading {
                reading @ (ReadoutKind::Largest | ReadoutKind::First) => Some(reading),
                _ => None,
            },
            steps: model.steps,
        }
    }

    /// These options in words, as the command line has them.
    pub fn notice(&self, model: &Model, dt: f64) -> String {
        let NirOptions { dt, steps, reset, reset_at, fires, readout, .. } = self.options(model, dt);
        let reset = match reset {
            Reset::Value => "",
            Reset::Subtract => " --reset subtract",
            Reset::None => " --reset none",
        };
        let reset_at = if reset_at == ResetAt::Next { " --reset-at next" } else { "" };
        let fires = if fires == Fires::Reached { " --fires reached" } else { "" };
        let readout = match readout {
            Some(ReadoutKind::Largest) => " --readout largest",
            Some(ReadoutKind::First) => " --readout first",
            _ => "",
        };
        let options = format!("--dt {dt:?} --steps {steps}{reset}{reset_at}{fires}{readout}");
        format!("what a NIR file does not tell: it is imported again with {options}")
    }
}

/// The kind of a reset; a NIR file has the potential that neurons are reset to.
fn kind(reset: MembraneReset) -> Reset {
    match reset {
        MembraneReset::Subtract => Reset::Subtract,
        MembraneReset::None => Reset::None,
        MembraneReset::To(_) => Reset::Value,
    }
}

/// Whether a layer's neurons keep nothing from one step to the next, so that no reset changes them: one that comes in
/// the next step does.
fn forgets(layer: &Layer) -> bool {
    let (neuron, mut given) = (layer.neuron, layer.constants());
    let is_given = given.any(|(constant, ..)| constant != Constant::Threshold);
    neuron.leak == 0.0 && neuron.synaptic_leak == 0.0 && neuron.reset_at == ResetAt::Spike && !is_given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(first: &str, second: &str) -> NirResult<String> {
        let text = format!(
            "name = \"net\"\nsteps = 4\nclasses = 10\ninput = {{ channels = 1, height = 8, width = 8 }}\nnorm = \
             \"batch\"\nlayers = [{{ conv = 4, neuron = {{ {first} }} }}, {{ fc = 8, neuron = {{ {second} }} }}]\n"
        );
        let document = crate::config::Document::parse_text("net.toml".as_ref(), text).unwrap();
        let model = Model::from_document(&document).unwrap();
        Told::of(&model).map(|told| told.notice(&model, 1e-4).split(" with ").last().unwrap().to_owned())
    }

    #[test]
    fn layers_that_forget_have_no_say_in_resets_wherever_they_stand() {
        let [forgets, zero] = ["leak = 0.0", "leak = 0.9, reset = \"zero\""];
        for (first, second) in [(forgets, zero), (zero, forgets)] {
            assert_eq!(notice(first, second).unwrap(), "--dt 0.0001 --steps 4");
        }
        let subtracts = "leak = 0.9, reset = \"subtract\"";
        assert_eq!(notice(forgets, subtracts).unwrap(), "--dt 0.0001 --steps 4 --reset subtract");
        assert_eq!(notice(forgets, forgets).unwrap(), "--dt 0.0001 --steps 4");
        assert_eq!(notice("reset = \"none\"", "reset = \"none\"").unwrap(), "--dt 0.0001 --steps 4 --reset none");
        assert!(notice(zero, subtracts).unwrap_err().starts_with("`fc1` fires or is reset in another way"));
    }

    #[test]
    fn a_reset_in_the_next_step_is_one_of_layers_that_keep_nothing_else_too() {
        let [at_once, next] = ["leak = 0.0", "leak = 0.0, reset_at = \"next\""];
        assert_eq!(notice(next, next).unwrap(), "--dt 0.0001 --steps 4 --reset subtract --reset-at next");
        for (first, second) in [(at_once, next), (next, at_once), (at_once, "leak = 0.9, reset_at = \"next\"")] {
            assert!(notice(first, second).is_err());
        }
    }

    #[test]
    fn all_layers_have_a_say_in_where_neurons_fire() {
        let [forgets, reached] = ["leak = 0.0", "leak = 0.9, fires = \"reached\""];
        for (first, second) in [(forgets, reached), (reached, forgets)] {
            assert!(notice(first, second).is_err());
        }
        let reached = "leak = 0.0, fires = \"reached\"";
        assert_eq!(notice(reached, reached).unwrap(), "--dt 0.0001 --steps 4 --fires reached");
    }
}
