"""A network of two layers, and tiles with resistive lines, beside CrossSim (Sandia, github.com/sandialabs/cross-sim).

The network has 64 inputs, 64 neurons that leak and 10 outputs, for eight steps; it is trained by crosspike on
recorded spikes of the embedded digits and tried on 360 other images. Each layer is one tile of pairs of cells of 1 to
39.26 µS. CrossSim is given the weights that crosspike wants to program, and multiplies each layer's spikes; neurons
between its layers are the three lines of `run_network`. Draws differ between the tools, so that

- without spread every cell and every output has to be the same to 1e-6, with and without converters of 10 bits
  (CrossSim keeps conductances in single precision: a threshold of 1.01 keeps sums of whole weights off it);
- with spread, and with reads that are noisy, mean accuracies and mean square errors of the outputs have to be the
  same to three standard errors of their difference, over chips;
- and the currents of tiles with lines have to be the same to 1e-6 of the largest.

CrossSim is not on PyPI: with CROSSSIM=FOLDER, the folder that has its `simulator`, its figures are made again and
kept in crosssim.npz beside this script, with the weights that they are of; without, those are read, and the weights
have to be crosspike's of today. Spikes and tiles are drawn here, and other ones would give other outputs and currents.
"""

import gzip
import math
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import ROOT, crosspike, report, table, verdict

KEPT = Path(__file__).with_name("crosssim.npz")
PROFILE = ROOT / "hw_profiles/rram_wan_2022.toml"
STEPS, LEAK, THRESHOLD, CHIPS, BITS, ROWS = 8, 0.95, 1.01, 50, 10, 64
G_MIN, G_MAX = 1.0, 39.26
LAYERS = ("fc1", "fc2")
MODEL = f"""name = "digits_fc"
steps = {STEPS}
classes = 10
input = {{ channels = 1, height = 8, width = 8 }}
norm = "none"
neuron = {{ leak = {LEAK}, threshold = {THRESHOLD} }}
layers = [{{ fc = 64 }}]
"""
TRAINING = f"""model = "model.toml"
profile = "{PROFILE}"
data = "frames:train.npz"
[train]
epochs = 20
batch = 32
"""
IDEAL = {"rram.variation.kind": "none", "tile.rows": ROWS}
CONVERTER = {"adc.bits": BITS, "adc.step": "free"}
# The chips that are compared by their statistics: standard deviation of a cell in µS, and of a read relative to what
# a cell conducts.
SPREADS = {"spread of 2 µS": (2.0, 0.0), "spread of 4 µS": (4.0, 0.0), "reads, 30 % anew at each step": (0.0, 0.3)}
# Rows, columns, ohm of a word line's segment and of a bit line's.
TILES = [(8, 5, 1.0, 2.0), (32, 16, 20.0, 5.0), (64, 64, 1.0, 1.0), (64, 64, 10.0, 10.0), (128, 32, 2.0, 4.0)]


# -- crosspike


def write_inputs(folder):
    """Spikes of the embedded digits, drawn here: the last 360 images are those that are tried."""
    table = np.array(
        [[int(word) for word in line.split(",")] for line in gzip.open(ROOT / "assets/digits.csv.gz", "rt")]
    )
    pixels, labels = table[:, None, :64] / 16, table[:, 64].astype(np.int64)
    spikes = (np.random.default_rng(1).uniform(size=(len(table), STEPS, 64)) < pixels).astype(np.uint8)
    frames = spikes.reshape(-1, STEPS, 1, 8, 8)
    np.savez(folder / "train.npz", frames=frames[:-360], labels=labels[:-360])
    np.savez(folder / "test.npz", frames=frames[-360:], labels=labels[-360:])
    (folder / "model.toml").write_text(MODEL)
    (folder / "train.toml").write_text(TRAINING)
    return spikes[-360:], labels[-360:]


def settings(keys):
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


def network_files(folder):
    """Where the network and its hardware are."""
    return [
        "--model",
        folder / "model.toml",
        "--checkpoint",
        folder / "run/checkpoint.safetensors",
        "--profile",
        PROFILE,
    ]


def chips(folder, keys, number=CHIPS):
    """Outputs [chips, images, classes]."""
    data = [
        "--data",
        f"frames:{folder}/test.npz",
        "--backend",
        "cpu",
        "--logits",
        folder / "logits.npy",
        "--chips",
        number,
    ]
    crosspike("infer", *network_files(folder), *data, *settings(IDEAL | keys))
    return np.load(folder / "logits.npy")


def programmed(folder):
    """The weights that crosspike wants to program, and the conductances of both cells of a pair in µS, `[outputs,
    inputs]`."""
    crosspike(
        "chip",
        *network_files(folder),
        "--data",
        f"frames:{folder}/train.npz",
        "--tiles",
        "none",
        "--out",
        folder / "chip",
        *settings(IDEAL),
    )
    weights, cells = np.load(folder / "chip/weights.npz"), np.load(folder / "chip/conductances.npz")
    return {
        layer: (weights[f"{layer}.target"], *(cells[f"{layer}.target.{side}"][0] for side in ("plus", "minus")))
        for layer in LAYERS
    }


def noisy(spread_us, read):
    """The keys of cells that land with such a spread, not below 0 µS, and are read with such noise."""
    spread = {"rram.variation.kind": "polynomial", "rram.variation.coefficients": f"[{spread_us}]"} if spread_us else {}
    return spread | ({"rram.read.sigma": read} if read else {})


def tile_currents(folder, siemens, volts, word, bit):
    np.savetxt(folder / "g.csv", siemens, delimiter=",", fmt="%.17g")
    np.savetxt(folder / "v.csv", volts, delimiter=",", fmt="%.17g")
    arguments = [
        "--conductances",
        folder / "g.csv",
        "--voltages",
        folder / "v.csv",
        "--word-ohm",
        word,
        "--bit-ohm",
        bit,
    ]
    return np.array([[float(word) for word in line.split(",")] for line in crosspike("tile", *arguments).split()])


# -- CrossSim


def crosssim():
    """Its modules, from the folder CROSSSIM."""
    sys.path.insert(0, os.environ["CROSSSIM"])
    import simulator
    from simulator.backend import ComputeBackend
    from simulator.circuits.array import NonInterleaved_InputSource_Array

    ComputeBackend(use_gpu=False)
    return simulator, NonInterleaved_InputSource_Array


def parameters(simulator):
    """Pairs of cells whose difference of currents is converted."""
    p = simulator.CrossSimParameters()
    p.xbar.device.Rmin, p.xbar.device.Rmax = 1e6 / G_MAX, 1e6 / G_MIN
    p.core.balanced.style = "ONE_SIDED"
    return p


def core(simulator, weights, largest, spread_us=0.0, read=0.0, converts=False):
    """A layer. Its weights are of ±`largest` where a cell conducts most."""
    p = parameters(simulator)
    p.core.mapping.weights.percentile = None
    p.core.mapping.weights.min, p.core.mapping.weights.max = -largest, largest
    for errors, model, sigma in (
        (p.xbar.device.programming_error, "NormalIndependentDevice", spread_us / G_MAX),
        (p.xbar.device.read_noise, "NormalProportionalDevice", read),
    ):
        if sigma:
            errors.enable, errors.model, errors.magnitude = True, model, sigma
    if converts:
        p.xbar.adc.mvm.model = "SignMagnitudeADC"
        adc = p.xbar.adc.mvm
        end = step_of(largest) * (2 ** (BITS - 1) - 1) * (1 - G_MIN / G_MAX) / largest
        adc.bits, adc.adc_range_option, adc.calibrated_range = BITS, "CALIBRATED", [-end, end]
    return simulator.AnalogCore(weights, p)


def step_of(largest):
    """A converter's step: crosspike's, whose full range is ± the rows times the largest weight."""
    return 2 * ROWS * largest / (2**BITS - 1)


def run_network(cores, spikes):
    """Outputs [images, classes] of layers that multiply columns of spikes."""
    images, membrane, sums = len(spikes), 0.0, 0.0
    inputs = cores[0] @ spikes.transpose(2, 1, 0).reshape(64, -1).astype(float)
    for step in inputs.reshape(64, STEPS, images).transpose(1, 0, 2):
        membrane = LEAK * membrane + step
        fired = membrane > THRESHOLD
        membrane = membrane - THRESHOLD * fired
        sums = sums + cores[1] @ fired.astype(float)
    return (sums / STEPS).T


def theirs(layers, spikes, labels):
    """CrossSim's figures by name, and the conductances of its first core's cells in µS."""
    simulator, solver = crosssim()

    def network(**keys):
        return run_network([core(simulator, weights, most, **keys) for weights, most in layers], spikes)

    np.random.seed(1)
    found = {"exact": network(), "codes": network(converts=True)}
    for i, (spread, read) in enumerate(SPREADS.values()):
        logits = np.array([network(spread_us=spread, read=read) for _ in range(CHIPS)])
        found[f"shares{i}"], found[f"errors{i}"] = statistics(logits, found["exact"], labels)
    for layer, (weights, most) in zip(LAYERS, layers):
        pair = core(simulator, weights, most).cores[0][0]
        found[f"{layer}.plus"], found[f"{layer}.minus"] = pair.core_pos.matrix * G_MAX, pair.core_neg.matrix * G_MAX
    for i, (siemens, volts, word, bit) in enumerate(tiles()):
        p = parameters(simulator)
        lines = p.xbar.array.parasitics
        lines.enable, lines.Rp_row, lines.Rp_col = True, word, bit
        p.simulation.Verr_th_mvm, p.simulation.Niters_max_parasitics = 1e-12, 2000
        solve = solver(p).iterative_solve
        found[f"tile{i}"] = np.array([solve(siemens.T * 1e6 / G_MAX, v, row_in=True) for v in volts]) * G_MAX * 1e-6
    return found


def tiles():
    """Conductances in siemens `[word lines, bit lines]`, three sets of volts, and ohms of both lines' segments."""
    random = np.random.default_rng(2)
    for rows, columns, word, bit in TILES:
        yield random.uniform(G_MIN, G_MAX, (rows, columns)) * 1e-6, random.uniform(0, 0.2, (3, rows)), word, bit


# -- both


def statistics(logits, exact, labels):
    """Each chip's accuracy in percent, and the mean square of its outputs' errors."""
    return 100 * (logits.argmax(-1) == labels).mean(-1), ((logits - exact) ** 2).mean((1, 2))


def interval(shares):
    """Mean accuracy and its 95 % interval over chips (Student's t of 49 degrees)."""
    return shares.mean(), 2.0096 * error(shares)


def error(values):
    """The standard error of the mean of some chips' values."""
    return values.std(ddof=1) / math.sqrt(len(values))


def agree(one, other):
    """Whether two tools' means over chips are the same to three standard errors of their difference."""
    return bool(abs(one.mean() - other.mean()) < 3 * math.hypot(error(one), error(other)))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spikes, labels = write_inputs(folder)
        crosspike("train", folder / "train.toml", "--out", folder / "run", *settings(IDEAL))
        pairs = programmed(folder)
        layers = []
        for weights, plus, minus in pairs.values():
            units = (plus - minus)[weights != 0] / weights[weights != 0]
            assert np.allclose(units, units[0]), "weights are not proportional to the pair's difference"
            layers.append((weights, (G_MAX - G_MIN) / units[0]))
        if "CROSSSIM" in os.environ:
            found = theirs(layers, spikes, labels)
            np.savez_compressed(KEPT, **found, **{layer: weights for layer, (weights, _) in zip(LAYERS, layers)})
        other = np.load(KEPT)
        held = all(np.array_equal(other[layer], weights) for layer, (weights, _) in zip(LAYERS, layers))
        print(f"the weights are {'those' if held else 'NOT those'} that CrossSim was given\n")

        cells = max(
            np.abs(other[f"{layer}.{side}"] / g - 1).max()
            for layer in LAYERS
            for side, g in zip(("plus", "minus"), pairs[layer][1:])
        )
        exact, codes = chips(folder, {}, 1)[0], chips(folder, CONVERTER, 1)[0]
        off, off_codes = (
            np.abs(a - b).max() / np.abs(a).max() for a, b in ((exact, other["exact"]), (codes, other["codes"]))
        )
        moved = np.abs(codes - exact).max() / np.abs(exact).max()
        print(f"conductances differ by {cells:.1e} at most, outputs without errors by {off:.1e} of the largest")
        print(
            f"behind {BITS}-bit converters, which move outputs by up to {moved:.1e}, they differ by {off_codes:.1e}\n"
        )
        held &= all(bool(figure < 1e-6) for figure in (cells, off, off_codes))

        rows = []
        for i, (name, noise) in enumerate(SPREADS.items()):
            both = [statistics(chips(folder, noisy(*noise)), exact, labels), (other[f"shares{i}"], other[f"errors{i}"])]
            held &= all(agree(mine, theirs) for mine, theirs in zip(*both))
            (a, x), (b, y) = (interval(shares) for shares, _ in both)
            errors = [
                f"{math.sqrt(squares.mean()):.4f} ± {error(squares) / (2 * math.sqrt(squares.mean())):.4f}"
                for _, squares in both
            ]
            rows.append((name, f"{a:.2f} ± {x:.2f}", f"{b:.2f} ± {y:.2f}", *errors))
        print(f"accuracy without errors: {100 * (exact.argmax(1) == labels).mean():.2f} %; {CHIPS} chips each\n")
        table(("chips", "accuracy, %: crosspike", "CrossSim", "error of an output: crosspike", "CrossSim"), rows)

        rows = []
        for i, (siemens, volts, word, bit) in enumerate(tiles()):
            mine = tile_currents(folder, siemens, volts, word, bit)
            lost = 1 - mine.sum() / (volts @ siemens).sum()
            apart = np.abs(mine - other[f"tile{i}"]).max() / np.abs(mine).max()
            held &= bool(apart < 1e-6)
            rows.append((f"{siemens.shape[0]} x {siemens.shape[1]}", word, bit, f"{100 * lost:.1f}", f"{apart:.1e}"))
        table(("tile", "word, Ω", "bit, Ω", "current lost to lines, %", "largest difference"), rows)
    verdict(held, "the same cells, outputs and currents without spread, the same accuracy and errors with it")


if __name__ == "__main__":
    main()
