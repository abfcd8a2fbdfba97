#!/usr/bin/env python3
"""Times converters with errors against those without, in turn, and prints the ratios (docs/performance.md).

Each measurement is a process of its own, `crosspike infer` of one chip on 3,000 images, and counts its user seconds;
the least of all rounds is taken. Nothing else may run meanwhile.

    crosspike train recipes/fashion.toml --out runs/fashion-rram --set rram.layers=all
    scripts/time_converters.py --instructions avx512-vnni,avx2
"""

import argparse
import os
import resource
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# What a chip is without errors of its converters.
CHIPS = {
    "65 nm profile, 4 bits": (4, ["--profile", PROJECT / "hw_profiles/spikesim_65nm.toml"]),
    "4-bit profile, 6 bits": (
        6,
        ["--profile", PROJECT / "hw_profiles/rram_4bit.toml"]
        + ["--set", "rram.layers=all", "--set", "adc.bits=6", "--set", "adc.range=calibrated"],
    ),
}


def errors(bits):
    """All errors by name, as keys; noise is by code in the last one."""
    circuit = ["adc.type=sar", "adc.capacitor_sigma=0.02", "adc.gain_sigma=0.01", "adc.offset_sigma=0.3"]
    by_code = f"adc.noise_by_code=[{','.join(['0.5'] * 2**bits)}]"
    return {
        "none": [],
        "noise": ["adc.noise_sigma=0.5"],
        "all": ["adc.noise_sigma=0.5", *circuit],
        "all, noise by code": [by_code, *circuit],
    }


def user_seconds(command, instructions):
    """The user seconds of a command."""
    environment = dict(os.environ)
    if instructions:
        environment["CROSSPIKE_INSTRUCTIONS"] = instructions
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crosspike", default=PROJECT / "target/release/crosspike")
    parser.add_argument("--checkpoint", default=PROJECT / "runs/fashion-rram/checkpoint.safetensors")
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist")
    parser.add_argument("--instructions", default="", help="sets of instructions, with commas; default: the widest")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    base = [options.crosspike, "infer", "--model", PROJECT / "models/fashion.toml", "--checkpoint", options.checkpoint]
    base += ["--data", options.data, "--limit", "3000", "--chips", "1", "--backend", "cpu"]
    for instructions in options.instructions.split(","):
        for chip, (bits, profile) in CHIPS.items():
            least = {}
            for _ in range(options.rounds):
                for name, keys in errors(bits).items():
                    settings = [word for key in keys for word in ("--set", key)]
                    seconds = user_seconds([str(word) for word in base + profile + settings], instructions)
                    least[name] = min(seconds, least.get(name, seconds))
            ratios = ", ".join(f"{name} {seconds / least['none']:.2f}" for name, seconds in least.items())
            print(f"{instructions or 'widest'}; {chip}: {ratios} ({least['none']:.2f} s)", flush=True)


if __name__ == "__main__":
    main()
