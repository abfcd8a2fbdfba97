"""Hardware-faithful simulation of hybrid RRAM + SRAM in-memory-computing chips that run spiking neural networks.

A Profile is the hardware, a Network a model with its weights, a Session the network on chips of the profile:

    import crosspike

    network = crosspike.train({"model": "digits", "data": "digits"}, out="runs/digits")
    session = crosspike.Session(network, "rram_4bit", "digits")
    chip = session.program(7)                       # the conductances, faults and weights of chip 7
    run = session.run(chip)                         # logits, spikes, energy
    series = session.evaluate(chips=100)            # a hundred chips on all cores
    series.results.to_pandas()

The same chip is the same bits as in the command line, on every machine and backend. What crosspike refuses is an
exception that says where and what was expected; what the user should know before reading results is a warning of the
class Notice. Ctrl-C in a call is a KeyboardInterrupt. crosspike.torch joins it with PyTorch.
"""

import os as _os

if "XDG_RUNTIME_DIR" not in _os.environ:
    # Mesa's device-select layer asks a display server which adapter is the default, and complains where there is none.
    _os.environ.setdefault("NODEVICE_SELECT", "1")

from ._crosspike import (  # noqa: E402
    MODELS,
    PROFILES,
    Chip,
    ConfigError,
    Dataset,
    Error,
    FileError,
    Fit,
    Found,
    Frame,
    GpuError,
    Layer,
    MismatchError,
    Model,
    Network,
    Notice,
    Profile,
    Programmer,
    Run,
    Series,
    Session,
    Study,
    Tile,
    UsageError,
    __version__,
    quickstart,
    recipe,
    search,
    sensitivity,
    solve_tile,
    sweep,
    train,
)

__all__ = [
    "MODELS",
    "PROFILES",
    "Chip",
    "ConfigError",
    "Dataset",
    "Error",
    "FileError",
    "Fit",
    "Found",
    "Frame",
    "GpuError",
    "Layer",
    "MismatchError",
    "Model",
    "Network",
    "Notice",
    "Profile",
    "Programmer",
    "Run",
    "Series",
    "Session",
    "Study",
    "Tile",
    "UsageError",
    "__version__",
    "quickstart",
    "recipe",
    "search",
    "sensitivity",
    "solve_tile",
    "sweep",
    "train",
]
