//! The dense estimate of SpikeSim, to compare counted energies with.

use serde::Serialize;

use crate::network::{Layer, Model};

/// The dense figure of SpikeSim (arXiv:2210.12899; 65 nm), as a cross-check at activity 1: every tile reads all of its
/// rows, output maps are taken behind the pool, and only convolutions count. X x X crossbars, one a kernel position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SpikeSim {
    /// Picojoule of a cycle of a processing element.
    pub cycle_pj: f64,
    /// Cycles a step.
    pub cycles: f64,
    /// Microjoule of an image.
    pub image_uj: f64,
}

impl SpikeSim {
    /// The estimate of a model's convolutions on crossbars of X x X.
    pub fn of(model: &Model, x: usize) -> Self {
        const CROSSBAR: f64 = 1.76423;
        const ADC: f64 = 2.03084;
        const MUX: f64 = 0.094245;
        const HTREE: f64 = 157.12;
        const TILE_BUFFER: f64 = 397.0;
        const TEMPORARY_BUFFER: f64 = 0.2;
        const SUBTRACT: f64 = 1.15e-6;
        const FETCH: f64 = 4.64;
        const NEURON: f64 = 5.096;
        let plans = model.layers();
        let convolutions = || plans.iter().filter(|plan| plan.kind == crate::network::LayerKind::Conv);
        let positions = convolutions().next().map_or(0, |plan| plan.unrolling().window.positions()) as f64;
        let groups = x as f64 / 8.0;
        let element = positions * CROSSBAR + groups * (ADC + MUX);
        let cycle_pj = HTREE
            + FETCH
            + NEURON
            + groups * element
            + groups * 16.0 * SUBTRACT
            + groups * TEMPORARY_BUFFER
            + TILE_BUFFER;
        let of = |plan: &Layer| {
            let pooled = plan.pooled();
            (plan.output.channels.div_ceil(x) * plan.input.channels.div_ceil(x) * pooled.height * pooled.width) as f64
        };
        let cycles = convolutions().map(of).fold(0.0, |sum, of| sum + of);
        SpikeSim { cycle_pj, cycles, image_uj: cycles * cycle_pj * model.steps as f64 * 1e-6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Encoding;
    use crate::plan::ChipPlan;
    use crate::profile::Profile;
    use crate::system::{Activity, Architecture};
    use std::path::Path;

    fn vgg9(steps: usize) -> Model {
        Model::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/vgg9.toml"), &[format!("steps={steps}")])
            .unwrap()
    }

    #[test]
    fn the_dense_figure_is_the_published_one() {
        let found = SpikeSim::of(&vgg9(5), 64);
        assert!((found.cycle_pj - 828.486).abs() < 5e-4, "{found:?}");
        assert_eq!(found.cycles, 3840.0);
        assert!((found.image_uj - 15.907).abs() < 5e-4, "{found:?}");
    }

    #[test]
    fn the_counted_figure_is_the_dense_one_at_activity_1() {
        // One element of SpikeSim: 64 channels of nine positions by 64 columns, all rows active, no pool behind it.
        let text = "name = \"m\"\nsteps = 5\nclasses = 10\ninput = {channels = 64, height = 16, width = 16}\nlayers = \
                    [{conv=64}, {conv=64}]";
        let document = crate::config::Document::parse_text(Path::new("m.toml"), text.into()).unwrap();
        let model = Model::from_document(&document).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles/spikesim_65nm.toml");
        let profile = Profile::read(&file, &["rram.model=weight".into(), "rram.cell={}".into()]).unwrap();
        let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap();
        let pixels = 16.0 * 16.0;
        let all_rows = 5.0 * pixels * 576.0;
        let (drives, elements) = ([all_rows, all_rows, 0.0], [0, 0, 0]);
        let all = Activity { steps: 5.0, input: 0.0, spikes: &[0.0; 2], drives: &drives, elements: &elements };
        let spent = Architecture::of(&plan).spent(&all).unwrap();
        let dense = SpikeSim::of(&model, 64).cycle_pj * pixels * 5.0;
        for layer in ["conv1", "conv2"] {
            let counted: f64 = spent.layers[layer].values().sum();
            assert!((counted / dense - 1.0).abs() < 1e-3, "{layer}: {counted} counted, {dense} dense");
        }
    }
}
