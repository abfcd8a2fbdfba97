"""What the tests share: the binary, networks, and a run of both ways."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import crosspike


def binary(*arguments, check=True):
    """Runs the command line: the binary that CROSSPIKE_BINARY names, or the one in the wheel."""
    program = os.environ.get("CROSSPIKE_BINARY")
    command = [program] if program else [sys.executable, "-m", "crosspike"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def inferred(folder, model, checkpoint, data, *more):
    """What `crosspike infer` says, and its logits."""
    report, logits = folder / "infer.json", folder / "infer.npy"
    arguments = ("--model", model, "--checkpoint", checkpoint, "--data", data, "--json", report, "--logits", logits)
    binary("infer", *arguments, "--backend", "cpu", *more)
    return json.loads(report.read_text()), np.load(logits)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A network trained on the digits for a few epochs, and its folder."""
    out = tmp_path_factory.mktemp("digits") / "run"
    file = {"model": model_file(out.parent, "digits"), "data": "digits", "train": {"epochs": 3, "batch": 32}}
    return crosspike.train(file, out=out), out


def model_file(folder, name, **set):
    """A shipped model as a file."""
    path = folder / f"{name}.toml"
    path.write_text(crosspike.Model(name, set).to_toml())
    return path
