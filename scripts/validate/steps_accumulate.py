"""Whether more time steps accumulate a crossbar's errors (Bhattacharjee et al., arXiv:2206.09599), on crosspike's own
networks.

The network of models/digits.toml with one norm for all steps, images given directly, all layers on the cells of
hw_profiles/spikesim_65nm.toml, trained three times without errors. A: the network trained at 8 steps runs at 2, 4, 8
and 16. B: each number of steps has its own training. The figure is the accuracy that 20 chips lose against the chip
without the error at the same number of steps, in points: the mean of three trainings, the 95 % interval over chips
(the mean of the trainings'), and each training's.

What is held is the part of A that stands beyond both intervals: four times the published spread, a chip's own, costs
more at 16 steps than at 2; reads that are drawn anew at each step cost less. CIFAR10=DIR, the folder of CIFAR-10's
binary version, adds the ResNet-20 that comes with crosspike, as A.
"""

import math
import os
import tempfile
from pathlib import Path

import numpy as np

from common import ROOT, crosspike, report, table, verdict

STEPS, SEEDS, CHIPS = (2, 4, 8, 16), (1, 2, 3), 20
NONE = {"rram.variation.kind": "none", "adc.bits": 0}
LINES = {"wires.word_ohm": 1, "wires.bit_ohm": 1, "tile.rows": 128}
CONVERTERS = {"adc.bits": 4, "adc.gain_sigma": 0.02, "adc.offset_sigma": 0.5}
# What is set on top of a chip without errors.
ERRORS = {
    "spread of cells, twice the published": NONE | {"rram.variation.kind": "per_level", "rram.variation.scale": 2},
    "the same, four times": NONE | {"rram.variation.kind": "per_level", "rram.variation.scale": 4},
    "lines of 1 Ω a segment, 128 rows": NONE | LINES,
    "converters, 4 bits with errors": NONE | CONVERTERS,
    "reads, 30 % anew at each step": NONE | {"rram.read.sigma": 0.3},
    "spread (twice), lines and converters": NONE
    | {"rram.variation.kind": "per_level", "rram.variation.scale": 2}
    | LINES
    | CONVERTERS,
}
OWN, FRESH = "the same, four times", "reads, 30 % anew at each step"


def settings(keys):
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


def model(folder):
    text = (
        (ROOT / "models/digits.toml").read_text().replace('name = "digits"', 'name = "digits_one_norm"\nnorm = "batch"')
    )
    (folder / "model.toml").write_text(text)
    return folder / "model.toml"


def trained(folder, steps, seed):
    """The checkpoint of a training, made where it is not there."""
    out = folder / f"{steps}-{seed}"
    if not out.exists():
        file = folder / "train.toml"
        head = f'model = "{model(folder)}"\nprofile = "{ROOT}/hw_profiles/spikesim_65nm.toml"\ndata = "digits"\nencoding = "direct"\n'
        file.write_text(head + "[train]\nepochs = 20\nbatch = 32\n")
        keys = NONE | {"tile.input_bits": 4, "model.steps": steps, "train.seed": seed}
        crosspike("train", file, "--out", out, *settings(keys))
    return out / "checkpoint.safetensors"


def judged(folder, network, steps, keys, chips):
    """Mean accuracy in percent, its 95 % interval over chips, and the logits [chips, images, classes]."""
    logits = folder / "logits.npy"
    found = report(
        "infer",
        *network,
        "--chips",
        chips,
        "--backend",
        "cpu",
        "--logits",
        logits,
        *settings(keys | {"model.steps": steps}),
    )
    return found["accuracy"]["mean"], found["accuracy"]["ci95"], np.load(logits)


def lost(folder, network, steps, keys, none):
    """Points lost, their interval, and the error of a logit as a share of the spread of logits."""
    best, _, ideal = judged(folder, network, steps, none, 1)
    mean, interval, logits = judged(folder, network, steps, keys, CHIPS)
    return best - mean, interval, math.sqrt(((logits - ideal) ** 2).mean()) / ideal.std(), best


def digits(folder, steps, seed):
    profile = [
        "--profile",
        "hw_profiles/spikesim_65nm.toml",
        "--data",
        "digits",
        "--encoding",
        "direct",
        "--set",
        "tile.input_bits=4",
    ]
    return ["--model", model(folder), "--checkpoint", trained(folder, steps, seed), *profile]


def tables(folder, own_training):
    """A, or B where each number of steps has its own training; losses by error and steps, with their intervals."""
    losses, errors, found, best = [], [], {}, {}
    for name, keys in ERRORS.items():
        row, share = [name], [name]
        for steps in STEPS:
            each = [
                lost(folder, digits(folder, steps if own_training else 8, seed), steps, keys, NONE) for seed in SEEDS
            ]
            points, interval, error, best[steps] = (sum(values) / len(SEEDS) for values in zip(*each))
            found[name, steps] = points, interval
            row.append(f"{points:.1f} ± {interval:.1f} ({', '.join(f'{p:.1f}' for p, *_ in each)})")
            share.append(f"{100 * error:.0f}")
        losses.append(row)
        errors.append(share)
    heads = [f"{s} steps" for s in STEPS]
    print("B: a training for each number of steps" if own_training else "A: one network, trained at 8 steps")
    table(["points lost", *heads], [["accuracy without errors, %", *[f"{b:.1f}" for b in best.values()]], *losses])
    table(["error of logits, % of their spread", *heads], errors)
    return found


def deep(folder):
    """A of a spiking ResNet-20, trained at 2 steps: cells that land as NeuRRAM's, at half their spread."""
    network = [
        "--model",
        "models/sew_resnet20.toml",
        "--checkpoint",
        "assets/cifar10_sew_resnet20.safetensors",
        "--encoding",
        "direct",
    ]
    network += [
        "--data",
        f"cifar10:{os.environ['CIFAR10']}",
        "--limit",
        200,
        "--profile",
        "hw_profiles/rram_wan_2022.toml",
    ]
    keys = {"rram.weight_bits": 8, "rram.variation.scale": 0.5}
    none = keys | {"rram.variation.scale": 0}
    reads = none | {"rram.read.sigma": 0.1}
    rows = []
    for name, error in {"spread of cells": keys, "reads, 10 % anew at each step": reads}.items():
        each = [lost(folder, network, steps, error, none) for steps in STEPS]
        rows.append([name, *[f"{points:.1f} ± {interval:.1f}" for points, interval, *_ in each]])
    best = [f"{e[3]:.1f}" for e in each]
    table(
        ["points lost: ResNet-20, CIFAR-10", *[f"{s} steps" for s in STEPS]],
        [["accuracy without errors, %", *best], *rows],
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        same = tables(folder, False)
        tables(folder, True)
        if "CIFAR10" in os.environ:
            deep(folder)

    def more(error, few, many):
        (a, da), (b, db) = same[error, few], same[error, many]
        return b - db > a + da

    held = more(OWN, 2, 16) and more(FRESH, 16, 2)
    verdict(held, "four times the spread costs more at 16 steps than at 2, noise that each step draws anew costs less")
