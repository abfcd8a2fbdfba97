//! The gradients on the way back through a graph, summed at each node where they meet.

use super::population::add;
use crate::forward::currents::Images;
use crate::kernels::digits::LANES;
use crate::network::graph::Graph;

/// The gradients that have come back to each node.
pub struct Returned<'g> {
    graph: &'g Graph,
    /// Images and steps.
    sizes: (usize, usize),
    /// ∂loss/∂pulses of each node, `[steps, blocks, pixels, 16]` an image; none where nothing came back.
    pub pulses: Vec<Option<Images>>,
    /// ∂loss/∂current of each population that lends its current, laid out alike.
    pub currents: Vec<Option<Images>>,
}

impl<'g> Returned<'g> {
    /// Nothing as yet, for so many images and steps.
    pub fn none(graph: &'g Graph, sizes: (usize, usize)) -> Self {
        let none = || graph.nodes.iter().map(|_| None).collect();
        Returned { graph, sizes, pulses: none(), currents: none() }
    }

    /// Values of a step of the pulses that a node sends.
    fn step(&self, node: usize) -> usize {
        let map = self.graph.nodes[node].map;
        map.channels.next_multiple_of(LANES) * map.height * map.width
    }

    /// Adds ∂loss/∂pulses of a node: of all its steps, or of one.
    pub fn add(&mut self, node: usize, step: Option<usize>, gradient: Images) {
        let (of_step, steps) = (self.step(node), self.sizes.1);
        add_to(&mut self.pulses[node], (of_step, steps), step, gradient);
    }

    /// Adds ∂loss/∂current of a population: of all its steps, or of one.
    pub fn add_current(&mut self, node: usize, step: Option<usize>, gradient: &Images) {
        let of_step = gradient.first().map_or(0, Vec::len) / if step.is_some() { 1 } else { self.sizes.1 };
        add_to(&mut self.currents[node], (of_step, self.sizes.1), step, gradient.clone());
    }

    /// Takes away all that came back to a node; zeros where nothing did.
    pub fn take(&mut self, node: usize) -> Images {
        let size = self.sizes.1 * self.step(node);
        self.pulses[node].take().unwrap_or_else(|| vec![vec![0.0; size]; self.sizes.0])
    }

    /// Step `t` of all that came back to a node; zeros where nothing did.
    pub fn at_step(&self, node: usize, t: usize) -> Images {
        let step = self.step(node);
        let zeros = || vec![vec![0.0; step]; self.sizes.0];
        let of = |all: &Images| all.iter().map(|image| image[t * step..][..step].to_vec()).collect();
        self.pulses[node].as_ref().map_or_else(zeros, of)
    }
}

/// Adds a gradient to a sum over all steps, of so many values each: of all of them, or of one.
fn add_to(sum: &mut Option<Images>, (of_step, steps): (usize, usize), step: Option<usize>, gradient: Images) {
    match (sum, step) {
        (Some(sum), None) => add(sum, &gradient),
        (none, None) => *none = Some(gradient),
        (sum, Some(t)) => {
            let all = sum.get_or_insert_with(|| vec![vec![0.0; of_step * steps]; gradient.len()]);
            for (all, gradient) in all.iter_mut().zip(&gradient) {
                all[t * of_step..][..of_step].iter_mut().zip(gradient).for_each(|(all, g)| *all += g);
            }
        }
    }
}
