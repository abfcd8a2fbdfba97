"""One linear layer of 64 inputs and 32 outputs beside AIHWKit's (Rasch et al., AICAS 2021), on the same weights,
cells and converters.

Both hold 4-bit weights in pairs of cells of 1 to 39.26 µS, the other of a pair at 1 µS, which land with the spread of
hw_profiles/rram_wan_2022.toml, a cubic in G, not below 0 µS; AIHWKit is given these coefficients in place of its own.
Both convert with 8 bits over ±64, 255 steps. Draws differ, so that

- without spread every output has to be the same code;
- with it, mean and standard deviation of the programmed weights of 1,000 chips have to be, level by level, those of a
  normal distribution
  cut off at 0 µS, which has a closed form: to 2e-3 of the largest weight and 1 %, in both tools;
- and the root mean square of the outputs' errors behind the converter has to be the same to 1 %.
"""

import math
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from aihwkit.inference import ReRamWan2022NoiseModel, SinglePairConductanceConverter
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.configs import InferenceRPUConfig, IOParameters, MappingParameter
from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType

from common import crosspike, safetensors, table, verdict

INPUTS, OUTPUTS, LEVELS, CHIPS, BITS = 64, 32, 8, 1000, 8
G_MIN, G_MAX, SPREAD = 1.0, 39.26, [1.053, 0.2374, -1.167e-2, 1.536e-4]
MODEL = """name = "linear"
steps = 1
classes = 32
input = { channels = 64, height = 1, width = 1 }
norm = "none"
neuron = { threshold = 0.5 }
layers = [{ fc = 64 }]
"""


def landed(siemens):
    """Mean and variance of a cell's conductance, a normal draw not below 0."""
    sigma = sum(c * siemens**i for i, c in enumerate(SPREAD))
    a = siemens / sigma
    share, density = (1 + math.erf(a / math.sqrt(2))) / 2, math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    mean = siemens * share + sigma * density
    return mean, (siemens**2 + sigma**2) * share + siemens * sigma * density - mean**2


def expected(level):
    """Mean and standard deviation of the weight that a pair of cells holds."""
    (high, a), (low, b) = landed(G_MIN + (G_MAX - G_MIN) * level / LEVELS), landed(G_MIN)
    return (high - low) / (G_MAX - G_MIN), math.sqrt(a + b) / (G_MAX - G_MIN)


def ours(folder, weights, frames, chips, *keys):
    """Outputs [chips, images, outputs]: the readout's sums, behind a digital layer that passes spikes on."""
    (folder / "model.toml").write_text(MODEL)
    safetensors(folder / "weights.safetensors", {"fc1.weight": np.eye(INPUTS, dtype=np.float32), "fc2.weight": weights})
    np.savez(folder / "frames.npz", frames=frames[:, None].astype(np.uint8), labels=np.zeros(len(frames), np.int64))
    files = [
        "--model",
        folder / "model.toml",
        "--checkpoint",
        folder / "weights.safetensors",
        "--data",
        f"frames:{folder}/frames.npz",
    ]
    arguments = [
        "--profile",
        "hw_profiles/rram_wan_2022.toml",
        "--chips",
        chips,
        "--backend",
        "cpu",
        "--logits",
        folder / "l.npy",
    ]
    keys = ["layer.fc1.rram.layers=none", f"tile.rows={INPUTS}", *keys]
    crosspike("infer", *files, *arguments, *[word for key in keys for word in ("--set", key)])
    return np.load(folder / "l.npy")


def theirs(weights, frames, chips, spread, converts):
    """The same of AIHWKit."""
    forward = IOParameters(
        inp_res=-1, inp_noise=0.0, out_noise=0.0, w_noise=0.0, out_res=1 / (2**BITS - 1) if converts else -1,
        out_bound=float(INPUTS) if converts else 1e6, noise_management=NoiseManagementType.NONE,
        bound_management=BoundManagementType.NONE,
    )  # fmt: skip
    scaled = [c * G_MAX**i for i, c in enumerate(SPREAD)]  # its polynomials are of G/G_max
    cells = SinglePairConductanceConverter(g_max=G_MAX, g_min=G_MIN)
    noise = ReRamWan2022NoiseModel({1.0: scaled}, cells, noise_scale=float(spread))
    config = InferenceRPUConfig(forward=forward, noise_model=noise, mapping=MappingParameter(weight_scaling_omega=0.0))
    config.drift_compensation = None
    layer = AnalogLinear(INPUTS, OUTPUTS, False, rpu_config=config)
    layer.set_weights(torch.tensor(weights))
    layer.eval()
    found = []
    with torch.no_grad():
        for _ in range(chips):
            layer.program_analog_weights()
            found.append(layer(torch.tensor(frames, dtype=torch.float32)).numpy())
    return np.array(found)


def main():
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    levels = random.integers(1, LEVELS + 1, (OUTPUTS, INPUTS))
    levels[0, 0] = LEVELS  # AIHWKit's largest weight stands at G_max
    weights = (levels * random.choice([-1, 1], levels.shape) / LEVELS).astype(np.float32)
    spikes, units = random.integers(0, 2, (500, INPUTS)), np.eye(INPUTS)
    print(f"AIHWKit {version('aihwkit')}, PyTorch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as name:
        folder, converter = Path(name), (f"adc.bits={BITS}", "adc.step=free")
        step = 2 * INPUTS / (2**BITS - 1)
        a = ours(folder, weights, spikes, 1, "rram.variation.kind=none", *converter)[0]
        b = theirs(weights, spikes, 1, False, True)[0]
        codes = np.abs(np.round(a / step) - np.round(b / step))
        exact = spikes @ weights.T.astype(float)
        off = np.abs(a - exact).max()
        print(
            f"without spread: {(codes > 0).sum()} of {codes.size} codes differ; of exact sums both are off by up to {off:.3f}\n"
        )
        mine = ours(folder, weights, units, CHIPS).transpose(0, 2, 1) * np.sign(weights)
        other = theirs(weights, units, CHIPS, True, False).transpose(0, 2, 1) * np.sign(weights)
        errors = [
            np.sqrt(((found - exact) ** 2).mean())
            for found in (ours(folder, weights, spikes, CHIPS, *converter), theirs(weights, spikes, CHIPS, True, True))
        ]
    rows, held = [], bool((codes == 0).all())
    for level in range(1, LEVELS + 1):
        mean, spread = expected(level)
        both = [(w[:, levels == level].mean(), w[:, levels == level].std()) for w in (mine, other)]
        held &= all(abs(m - mean) < 2e-3 and abs(s / spread - 1) < 0.01 for m, s in both)
        (a, s), (b, t) = both
        rows.append((level, f"{mean:.4f}", f"{a:.4f}", f"{b:.4f}", f"{spread:.4f}", f"{s:.4f}", f"{t:.4f}"))
    table(
        ("level", "mean of w, closed form", "crosspike", "AIHWKit", "its spread, closed form", "crosspike", "AIHWKit"),
        rows,
    )
    print(f"root mean square error of an output, 8-bit converter: crosspike {errors[0]:.4f}, AIHWKit {errors[1]:.4f}\n")
    held &= bool(abs(errors[0] / errors[1] - 1) < 0.01)
    verdict(held, "the same codes without spread, the same distributions with it")


if __name__ == "__main__":
    main()
