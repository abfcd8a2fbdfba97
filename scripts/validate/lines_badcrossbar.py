"""Column currents of `crosspike tile` beside those of badcrossbar, on random tiles between lines with resistance.

badcrossbar (Joksas & Mehonic, SoftwareX 12, 100617, 2020) solves the same nodal equations with SciPy's sparse LU. Its
word lines are driven at the left and its bit lines grounded at the bottom, through one segment each, as here; it
takes resistances, so an open cell is infinite there. Where the two part, a solution with 60 digits (mpmath) says
which of them is right. The largest difference has to be at most 1e-6 of a column's current for ordinary cells, and
crosspike's from the 60 digits at most 1e-9 for all.
"""

import logging
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import badcrossbar  # its pictures want cairo, and it warns where there is none
import mpmath
import numpy as np

from common import crosspike, processor, table, verdict

logging.disable(logging.INFO)

ORDINARY, EXTREME = 1e-6, 1e-9
# Rows, columns, ohm of a word line's segment, of a bit line's, drives, cells that are put in.
CASES = [
    (8, 5, 1.0, 2.0, "0/1", ""),
    (8, 5, 1.0, 2.0, "real", ""),
    (8, 5, 0.0, 3.0, "0/1", ""),
    (8, 5, 3.0, 0.0, "real", ""),
    (8, 5, 0.0, 0.0, "real", ""),
    (1, 6, 5.0, 1.0, "real", ""),
    (16, 1, 1.0, 4.0, "real", ""),
    (32, 16, 1.0, 1.0, "0/1", ""),
    (32, 16, 20.0, 5.0, "real", ""),
    (32, 16, 0.01, 100.0, "signed", ""),
    (64, 64, 1.0, 1.0, "0/1", ""),
    (64, 64, 2.5, 0.5, "real", ""),
    (64, 64, 10.0, 10.0, "signed", ""),
    (8, 5, 1.0, 2.0, "real", "open"),
    (32, 16, 1.0, 2.0, "0/1", "open"),
    (64, 64, 1.0, 1.0, "real", "open"),
    (8, 5, 1.0, 2.0, "real", "1e3 S"),
    (32, 16, 1.0, 2.0, "0/1", "1e3 S"),
    (8, 5, 1.0, 2.0, "real", "1e12 S"),
    (8, 5, 1.0, 2.0, "real", "1e20 S"),
    (8, 5, 1.0, 2.0, "real", "1e-15 and 1e9 S"),
    (8, 5, 1e-9, 1e6, "real", "1e-15 and 1e9 S"),
]


def cells(random, m, n, put):
    """Conductances in siemens, spread evenly over three decades of their logarithm; some cells are replaced."""
    siemens = 10 ** random.uniform(-6, -3, (m, n))
    odd = random.uniform(size=(m, n))
    if put == "open":
        siemens[odd < 0.2] = 0.0
        siemens[m // 2] = 0.0  # a whole word line, and a whole bit line
        siemens[:, n // 2] = 0.0
    elif "and" in put:
        low, high = (float(word) for word in put.removesuffix(" S").split(" and "))
        siemens[odd < 0.2], siemens[odd > 0.9] = low, high
    elif put:
        siemens[odd > 0.9] = float(put.removesuffix(" S"))
    return siemens


def volts(random, m, drive):
    """Five sets of drives, in volt."""
    if drive == "0/1":
        return np.where(random.uniform(size=(5, m)) < 0.5, 0.2, 0.0)
    return random.uniform(-0.2 if drive == "signed" else 0.0, 0.2, (5, m))


def ours(folder, siemens, volts, word, bit):
    """The currents of `crosspike tile`, in ampere, and the seconds that the process took."""
    g, v = folder / "G.csv", folder / "V.csv"
    np.savetxt(g, siemens, delimiter=",", fmt="%.17g")
    np.savetxt(v, volts, delimiter=",", fmt="%.17g")
    start = time.perf_counter()
    text = crosspike("tile", "--conductances", g, "--voltages", v, "--word-ohm", word, "--bit-ohm", bit)
    seconds = time.perf_counter() - start
    return np.array([[float(x) for x in line.split(",")] for line in text.split()]), seconds


def theirs(siemens, volts, word, bit):
    """The currents of badcrossbar, in ampere, and the seconds that its call took."""
    with np.errstate(divide="ignore"):
        ohms = 1 / siemens
    start = time.perf_counter()
    found = badcrossbar.compute(
        volts.T, ohms, r_i_word_line=word, r_i_bit_line=bit, node_voltages=False, all_currents=False
    )
    return found.currents.output, time.perf_counter() - start


def exact(siemens, volts, word, bit):
    """The same from the nodal equations with 60 digits, both lines resistive."""
    mpmath.mp.dps = 60
    m, n = siemens.shape
    g_w, g_b = 1 / mpmath.mpf(word), 1 / mpmath.mpf(bit)
    a, b = mpmath.zeros(2 * m * n), mpmath.zeros(2 * m * n, len(volts))
    for i in range(m):
        for j in range(n):
            w, l, g = i * n + j, m * n + i * n + j, mpmath.mpf(siemens[i, j])
            a[w, w] += g + g_w * (2 if j < n - 1 else 1)
            a[l, l] += g + g_b * (2 if i > 0 else 1)
            a[w, l] = a[l, w] = -g
            if j > 0:
                a[w, w - 1] = a[w - 1, w] = -g_w
            if i > 0:
                a[l, l - n] = a[l - n, l] = -g_b
            if j == 0:
                for k in range(len(volts)):
                    b[w, k] = g_w * mpmath.mpf(volts[k, i])
    potentials = [mpmath.lu_solve(a, b[:, k]) for k in range(len(volts))]
    return np.array([[float(g_b * p[m * n + (m - 1) * n + j]) for j in range(n)] for p in potentials])


def apart(found, expected):
    """The largest difference, of a column's current, or where it is less of a thousandth of the largest."""
    floor = 1e-3 * np.abs(expected).max(1, keepdims=True)
    return (np.abs(found - expected) / np.maximum(np.abs(expected), floor)).max()


def compare(folder):
    rows, held = [], True
    for seed, (m, n, word, bit, drive, put) in enumerate(CASES):
        random = np.random.default_rng(seed)
        siemens, v = cells(random, m, n, put), volts(random, m, drive)
        a, b = ours(folder, siemens, v, word, bit)[0], theirs(siemens, v, word, bit)[0]
        between, mine, other = apart(a, b), "", ""
        if m * n <= 40 and word > 0 and bit > 0:
            e = exact(siemens, v, word, bit)
            mine, other = apart(a, e), apart(b, e)
            held &= bool(mine <= EXTREME)
            mine, other = f"{mine:.1e}", f"{other:.1e}"
        if not put or put == "open":
            held &= bool(between <= ORDINARY)
        rows.append((f"{m} x {n}", word, bit, drive, put or "–", f"{between:.1e}", mine, other))
    what = ("between the two", "crosspike from 60 digits", "badcrossbar from 60 digits")
    table(("tile", "word, Ω", "bit, Ω", "drives", "cells put in", *what), rows)
    return held


def times(folder):
    """Milliseconds, the least of nine, of a tile with one set of drives; both kept to one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    for size in (32, 64, 128):
        random = np.random.default_rng(size)
        siemens, v = cells(random, size, size, ""), volts(random, size, "real")[:1]
        found = [(ours(folder, siemens, v, 1.0, 1.0)[1], theirs(siemens, v, 1.0, 1.0)[1]) for _ in range(9)]
        a, b = (1e3 * min(seconds) for seconds in zip(*found))
        rows.append((f"{size} x {size}", f"{a:.1f}", f"{b:.1f}", f"{b / a:.1f}"))
    print(f"{processor()}, both kept to one; badcrossbar {version('badcrossbar')}, SciPy {version('scipy')}:")
    table(("tile", "crosspike tile, its whole process, ms", "badcrossbar.compute, its call alone, ms", "ratio"), rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        held = compare(Path(folder))
        times(Path(folder))
    verdict(
        held, f"ordinary and open cells to {ORDINARY:g} of badcrossbar, all small tiles to {EXTREME:g} of 60 digits"
    )
