"""Energy of a synaptic operation beside a measured spiking chip with non-volatile arrays.

ANVMP (J. Zhang et al., A-SSCC 2024; 28 nm) was measured at 1.25 pJ a synaptic operation at 0.55 V, with a tenth of
the inputs active. crosspike's figure is that of recipes/digits_system.toml: what an image takes of a chip with a
mesh, over the weights that active inputs meet; at 65 nm, and scaled to 32 nm and 0.55 V, the nearest node of the
published table. What does not follow spikes is spent whatever comes in, so the figure at a tenth is found from it.
"""

import csv
import tempfile
from pathlib import Path

from common import crosspike, table, verdict

PUBLISHED, ACTIVE = 1.25, 0.1
NODES = {"65 nm, 1 V": [], "32 nm, 0.55 V": ["--set", "cost.node={from_nm=65, from_v=1.0, to_nm=32, to_v=0.55}"]}


def rows(folder, name):
    """A table of a finished recipe, of the points with a mesh and neither pipeline nor copies."""
    with open(Path(folder) / name) as file:
        of_mesh = {"system.interconnect": "mesh", "system.pipelined": "false", "system.area_mm2": "0.0"}
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in of_mesh.items())]


def figures(keys):
    """Picojoules, operations and the part that follows spikes of an image, and the share of inputs that are active."""
    with tempfile.TemporaryDirectory() as folder:
        crosspike("recipe", "recipes/digits_system.toml", "--out", folder, "--force", *keys)
        (summary,) = rows(folder, "summary.csv")
        driven = sum(
            float(row["energy_pj_per_image"] or 0)
            for row in rows(folder, "components.csv")
            if row["component"] == "cell_read"
        )
    dense = float(summary["tops_per_w"]) * float(summary["energy_pj_per_image"]) / 2
    operations = float(summary["synaptic_operations_per_image"])
    return float(summary["energy_pj_per_image"]), operations, driven, operations / dense


found, lines = {}, []
for name, keys in NODES.items():
    energy, operations, driven, active = figures(keys)
    at_a_tenth = ((energy - driven) * active / ACTIVE + driven) / operations
    found[name] = at_a_tenth
    lines.append(
        (name, f"{energy / 1000:.1f}", f"{100 * active:.1f} %", f"{energy / operations:.3f}", f"{at_a_tenth:.3f}")
    )
table(("crosspike", "nJ an image", "active", "pJ an operation", f"at {100 * ACTIVE:.0f} %"), lines)
scaled = found["32 nm, 0.55 V"]
verdict(
    scaled < PUBLISHED < 20 * scaled,
    f"{PUBLISHED} pJ measured, {PUBLISHED / scaled:.1f} times the scaled figure at the same activity",
)
