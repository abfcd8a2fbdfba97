"""Column currents of `crosspike tile --method iterative --sinh-volt` beside ngspice's, on a tile of cells that are
not linear.

16 x 12 cells of G·V0·sinh(V/V0), G spread over two decades, between lines with resistance on both sides, five sets of
drives; ngspice solves each deck's operating point. The largest difference has to be at most 1e-6 of a column's
current.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import crosspike, table, verdict

ROWS, COLUMNS, WORD_OHM, BIT_OHM, TOLERANCE = 16, 12, 20.0, 30.0, 1e-6


def ngspice(folder, siemens, volts, v0):
    """The bit lines' currents in ampere."""
    deck = ["a tile"]
    for i, v in enumerate(volts):
        deck.append(f"Vd{i} w{i}_0 0 {v!r}")  # the driver stands in front of the first segment
        for j in range(COLUMNS):
            deck.append(f"Rw{i}_{j} w{i}_{j} w{i}_{j + 1} {WORD_OHM!r}")
            deck.append(
                f"Bc{i}_{j} w{i}_{j + 1} b{i}_{j} i={siemens[i, j] * v0!r}*sinh(v(w{i}_{j + 1},b{i}_{j})/{v0!r})"
            )
            deck.append(f"Rb{i}_{j} b{i}_{j} b{i + 1}_{j} {BIT_OHM!r}")
    deck += [f"Vf{j} b{ROWS}_{j} 0 0" for j in range(COLUMNS)]
    deck += [".options reltol=1e-10 abstol=1e-18 gmin=1e-30", ".control", "set numdgt=14", "op"]
    deck += [f"print i(vf{j})" for j in range(COLUMNS)] + [".endc", ".end", ""]
    file = folder / "tile.cir"
    file.write_text("\n".join(deck))
    text = subprocess.run(["ngspice", "-b", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout
    return [float(re.search(rf"i\(vf{j}\) = (\S+)", text)[1]) for j in range(COLUMNS)]


def ours(folder, siemens, volts, *options):
    """The same from crosspike, of all drives."""
    np.savetxt(folder / "G.csv", siemens, delimiter=",", fmt="%.17g")
    np.savetxt(folder / "V.csv", volts, delimiter=",", fmt="%.17g")
    files = ["--conductances", folder / "G.csv", "--voltages", folder / "V.csv"]
    text = crosspike("tile", *files, "--word-ohm", WORD_OHM, "--bit-ohm", BIT_OHM, *options)
    return np.array([[float(x) for x in line.split(",")] for line in text.split()])


def main():
    if not shutil.which("ngspice"):
        sys.exit("ngspice is not on the path: Debian's package has its name")
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for v0 in (0.04, 0.1, 0.25):
            random = np.random.default_rng(7)
            siemens = 10 ** random.uniform(-6, -4, (ROWS, COLUMNS))
            volts = random.uniform(0, 0.3, (5, ROWS))
            spice = np.array(
                [ngspice(folder, siemens.astype(object), [float(v) for v in drives], v0) for drives in volts]
            )
            iterated = ours(folder, siemens, volts, "--method", "iterative", "--sinh-volt", v0, "--tolerance", 1e-10)
            loose = ours(folder, siemens, volts, "--method", "iterative", "--sinh-volt", v0)
            linear = ours(folder, siemens, volts)
            error, coarse = (np.abs(found / spice - 1).max() for found in (iterated, loose))
            worst = max(worst, error)
            rows.append(
                (v0, f"{error:.1e}", f"{coarse:.1e}", f"{(spice / linear).min():.2f} to {(spice / linear).max():.2f}")
            )
    table(
        (
            "V0, V",
            "largest difference, --tolerance 1e-10",
            "with the default 1e-6",
            "currents over those of linear cells",
        ),
        rows,
    )
    verdict(worst <= TOLERANCE, f"to {TOLERANCE:g} of ngspice")


if __name__ == "__main__":
    main()
