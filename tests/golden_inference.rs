//! Inference reproduces an independent PyTorch model: logits to 1e-4, spike counts exactly, quantised weights and the
//! closed-form residual to rounding. Re-make the golden files only with the model that made them.

mod common;

use common::{QUANTISERS, expected, meets_the_goldens, network, profile};
use crosspike::crossbar::sram::{self, CompanionSource};
use crosspike::device::{ProgrammedCells, quantise::quantise};
use crosspike::engine::cpu::CpuEngine;
use crosspike::forward::ways::Kernel;

#[test]
fn the_cpu_engine_meets_every_golden_evaluation() {
    for kernel in Kernel::all() {
        meets_the_goldens(&CpuEngine { kernel });
    }
}

#[test]
fn quantised_weights_are_the_golden_ones() {
    let network = network("checkpoint.safetensors");
    for (name, scheme, bits) in QUANTISERS {
        let scheme = profile(&[&format!("rram.scheme={scheme}"), "rram.weight_bits=4"]).rram.scheme;
        for layer in 0..3 {
            let found = quantise(scheme, bits, &network.layers[layer].rram);
            for (a, b) in found.iter().zip(expected(&format!("weights.conv{}.{name}", layer + 1)).iter()) {
                assert!((a - b).abs() < 1e-6, "{name} conv{}: {a}, expected {b}", layer + 1);
            }
        }
    }
}

#[test]
fn the_residual_is_the_golden_one() {
    let sram = profile(&["sram.bits=2", "sram.shift=-2", "sram.init=residual"]).sram;
    for layer in 1..=3 {
        let programmed: Vec<f32> = expected(&format!("residual.programmed.conv{layer}")).iter().copied().collect();
        let target: Vec<f32> = expected(&format!("weights.conv{layer}.bits4")).iter().copied().collect();
        let found = sram::program(
            &sram,
            CompanionSource::Residual,
            &sram::missing(&ProgrammedCells::holding(target, programmed)),
        );
        let golden: Vec<f32> = expected(&format!("residual.sram.conv{layer}")).iter().copied().collect();
        assert_eq!(found.weights, golden, "conv{layer}");
    }
}
