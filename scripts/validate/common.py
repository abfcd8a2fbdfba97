"""What the comparisons share: where crosspike is, how it is called, and how figures are printed."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def binary():
    """CROSSPIKE, or crosspike on the path."""
    found = os.environ.get("CROSSPIKE") or shutil.which("crosspike")
    if not found:
        sys.exit("crosspike is not on the path; set CROSSPIKE to its binary")
    return found


def crosspike(*arguments):
    """Runs a command in the root of the repository; its standard output."""
    run = subprocess.run(
        [binary(), *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if run.returncode:
        sys.exit(f"crosspike {' '.join(map(str, arguments))}\n{run.stderr}")
    return run.stdout


def report(*arguments):
    """Runs a command; what its --json says."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        crosspike(*arguments, "--json", file)
        return json.loads(file.read_text())


def safetensors(path, tensors):
    """Writes a checkpoint of float32 tensors."""
    head, at = {}, 0
    for name, values in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in tensors.values()))


def processor():
    """The processor's name, as lscpu has it, with what tells models of one name apart."""
    text = Path("/proc/cpuinfo").read_text()
    name, family, model = (
        re.search(rf"^{key}\s*: (.*)$", text, re.M)[1] for key in ("model name", "cpu family", "model")
    )
    cores = text.count("processor\t")
    return f"{name} (family {family}, model {model}), {cores} cores"


def table(head, rows):
    """Prints a table in Markdown."""
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def verdict(held, sentence):
    """Prints the verdict and ends the process, with 1 where it misses."""
    print(("holds: " if held else "MISSED: ") + sentence)
    sys.exit(0 if held else 1)
