"""Area and latency of VGG9 at 65 nm beside SpikeSim's 8.43 mm² and 62.8 ms (Moitra et al., arXiv:2210.12899).

SpikeSim's terms are recomputed here from the formulas of its public estimator, whose constants
hw_profiles/spikesim_65nm.toml holds; they have to come to the published figures within 0.1 %. crosspike's come from
`map` and `infer`. Every difference is then a term that the two count otherwise, and the terms have to add up to it
within 1e-6 of the total.
"""

import math
import tempfile
from pathlib import Path

import numpy as np

from common import report, safetensors, table, verdict

MODEL, PROFILE = "models/spikesim_vgg9.toml", "hw_profiles/spikesim_65nm.toml"
STEPS, CYCLE_NS, SIZE = 5, 26 * 1000 / 250, 64
# The seven convolutions: input and output channels, side of the input, and of the output behind its pool and in front
# of it.
LAYERS = [
    (3, 64, 32, 32, 32),
    (64, 64, 32, 16, 32),
    (64, 128, 16, 16, 16),
    (128, 128, 16, 8, 16),
    (128, 256, 8, 8, 8),
    (256, 256, 8, 8, 8),
    (256, 256, 8, 4, 8),
]
ELEMENTS_A_TILE = 8
UM2 = {
    "crossbar": 26.2144, "adc": 693.633, "mux": 45.9, "subtractor": 13411.41498, "temporary_buffer": 484.643999,
    "tile_buffer": 0.7391 * 64 * 128, "htree": 216830 * 2, "potential": 0.7391 * 22,
}  # fmt: skip


def spikesim_area():
    """Its area by component, in mm²."""
    elements = sum(math.ceil(i / SIZE) * math.ceil(o / SIZE) for i, o, *_ in LAYERS)
    tiles, converters = math.ceil(elements / ELEMENTS_A_TILE), SIZE // 8
    elements = tiles * ELEMENTS_A_TILE
    inputs = sum(i * side**2 for i, _, side, *_ in LAYERS)
    outputs = sum(o * side**2 for _, o, _, side, _ in LAYERS[:5])
    return {
        "cell": 1e-6 * elements * 9 * UM2["crossbar"],
        "adc": 1e-6 * elements * converters * UM2["adc"],
        "mux": 1e-6 * elements * converters * UM2["mux"],
        "code": 1e-6 * tiles * converters * UM2["subtractor"],
        "htree": 1e-6 * tiles * UM2["htree"],
        "tile_buffer": 1e-6 * tiles * UM2["tile_buffer"],
        "temporary_buffer": 1e-6 * tiles * UM2["temporary_buffer"],
        "neuron": 1e-6 * (inputs + outputs) * UM2["potential"],
    }


def spikesim_latency():
    """Milliseconds from the start to the end of the last layer: a layer has a cycle for each of its output values and
    steps, and the next one begins when three quarters of them are there."""
    values = [o * side**2 * STEPS for _, o, _, side, _ in LAYERS]
    return 1e-6 * CYCLE_NS * (0.75 * sum(values[:-1]) + values[-1])


def area():
    """The table of areas; whether the terms add up."""
    convolutions = [f"conv{i + 1}" for i in range(7)]
    found = report("map", "--model", MODEL, "--profile", PROFILE)["area_um2"]
    ours = {key: 1e-6 * sum(found[layer].get(key, 0.0) for layer in convolutions) for key in spikesim_area()}
    theirs = spikesim_area()
    rows = [(key, f"{theirs[key]:.3f}", f"{ours[key]:.3f}", f"{ours[key] - theirs[key]:+.3f}") for key in ours]
    total, published = sum(ours.values()), sum(theirs.values())
    rows.append(("seven convolutions", f"{published:.3f}", f"{total:.3f}", f"{total - published:+.3f}"))
    rest = 1e-6 * sum(sum(parts.values()) for layer, parts in found.items() if layer not in convolutions)
    rows.append(("fc1 and fc2", "not counted", f"{rest:.3f}", ""))
    table(("mm²", "SpikeSim", "crosspike", "difference"), rows)
    same = ("adc", "mux", "code", "htree", "tile_buffer", "temporary_buffer")
    agree = all(math.isclose(ours[key], theirs[key], rel_tol=1e-4) for key in same)
    return agree and abs(published / 8.43 - 1) < 1e-3


def infer():
    """The energy that crosspike spends on one series of 0/1 frames; of its parts the one that spikes drive alone depends
    on weights and frames."""
    random = np.random.default_rng(1)
    shapes = {f"conv{n + 1}.weight": (o, i, 3, 3) for n, (i, o, *_) in enumerate(LAYERS)}
    shapes |= {"fc1.weight": (1024, 4096), "fc2.weight": (10, 1024)}
    weights = {name: random.uniform(-0.5, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    with tempfile.TemporaryDirectory() as folder:
        frames, checkpoint = Path(folder) / "frames.npz", Path(folder) / "weights.safetensors"
        safetensors(checkpoint, weights)
        np.savez(frames, frames=random.integers(0, 2, (1, STEPS, 3, 32, 32), np.uint8), labels=np.zeros(1, np.int64))
        arguments = ["--model", MODEL, "--checkpoint", checkpoint, "--data", f"frames:{frames}", "--profile", PROFILE]
        return report("infer", *arguments, "--set", "adc.range=full", "--backend", "cpu")


def latency():
    """The table of latencies; whether the steps from one to the other multiply out."""
    energy = infer()["energy"]
    whole = energy["pj_per_image"]["latency_ns"] * 1e-6
    behind, before = ([layer[k] ** 2 for layer in LAYERS] for k in (3, 4))
    planes = [1, 1, 3, 1, 3, 1, 1]  # binary digits of a layer's inputs: counts of a 2x2 window take three
    ms = 1e-6 * STEPS * CYCLE_NS
    convolutions = ms * sum(p * d for p, d in zip(before, planes))
    steps = [
        ("crosspike, `infer`, whole network", whole),
        ("… fc1 (three digits, one pixel) and fc2 left out", whole - ms * (3 + 1)),
        ("… one drive a step, whatever the digits", ms * sum(before)),
        ("… pixels behind the pool alone", ms * sum(behind)),
        (
            "… a cycle for each output value, not for 64 columns at once",
            ms * sum(p * layer[1] for p, layer in zip(behind, LAYERS)),
        ),
        ("… layers overlap, each from three quarters of the one before: SpikeSim's formula", spikesim_latency()),
        ("SpikeSim, published", 62.8),
    ]
    table(("latency of an image, 5 steps", "ms"), [(name, f"{value:.3f}") for name, value in steps])
    dense_uj = energy["spikesim_dense"]["image_uj"]
    print(f"energy, SpikeSim's dense formula in `infer`: {dense_uj:.3f} µJ (15.907 by its own script)\n")
    explained = math.isclose(steps[1][1], convolutions, rel_tol=1e-6)
    return explained and abs(spikesim_latency() / 62.8 - 1) < 1e-3 and abs(dense_uj / 15.907 - 1) < 1e-3


if __name__ == "__main__":
    held = [area(), latency()]
    verdict(
        all(held), "SpikeSim's formulas give its published figures to 0.1 %, and crosspike's differ by the terms above"
    )
