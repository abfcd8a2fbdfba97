"""Networks of SpikingJelly and Norse, held to the libraries themselves where they are installed (they need PyTorch
2)."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import crosspike.torch  # noqa: E402
from torch import nn  # noqa: E402

import crosspike  # noqa: E402

STEPS = 12


def same(module, run):
    """Whether crosspike's logits are those of `run`, for random frames."""
    frames = torch.rand(40, STEPS, 6)
    with torch.no_grad():
        expected = run(module, frames).numpy()
    network = crosspike.torch.network(module, input=(6, 1, 1), steps=STEPS)
    found = crosspike.Session(network, None, frames.numpy().reshape(40, STEPS, 6, 1, 1)).run(0).logits
    assert np.abs(expected).sum() > 40
    return np.isclose(found, expected, atol=1e-4 * np.abs(expected).max()).mean() > 0.97


def matrix(inputs, outputs):
    part = nn.Linear(inputs, outputs)
    with torch.no_grad():
        part.weight.mul_(6.0)
    return part


@pytest.mark.parametrize(
    "kind, constants",
    [
        ("IFNode", {"v_reset": None}),
        ("IFNode", {"v_reset": 0.0}),
        ("LIFNode", {"tau": 2.5, "decay_input": True, "v_reset": 0.0}),
        ("LIFNode", {"tau": 2.5, "decay_input": False, "v_reset": None}),
        ("LIFNode", {"tau": 1.5, "decay_input": True, "v_reset": None, "v_threshold": 0.4}),
        ("ParametricLIFNode", {"init_tau": 3.0, "decay_input": False, "v_reset": 0.0}),
        ("ParametricLIFNode", {"init_tau": 3.0, "decay_input": True, "v_reset": None}),
    ],
)
def test_neurons_of_spikingjelly(kind, constants):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron", exc_type=ImportError)
    functional = pytest.importorskip("spikingjelly.activation_based.functional", exc_type=ImportError)
    torch.manual_seed(3)
    make = getattr(neuron, kind)
    module = nn.Sequential(matrix(6, 40), make(**constants), matrix(40, 8), make(**constants))

    def run(module, frames):
        functional.reset_net(module)
        return sum(module(frames[:, step]) for step in range(STEPS))

    assert same(module, run)


@pytest.mark.parametrize("readout", ["count", "last", "mean"])
def test_neurons_of_norse(readout):
    norse = pytest.importorskip("norse.torch", exc_type=ImportError)
    torch.manual_seed(3)
    constants = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(0.3))
    last = {"count": [norse.LIFBoxCell(constants)], "last": [norse.LIBoxCell()], "mean": []}[readout]
    module = norse.SequentialState(matrix(6, 40), norse.LIFBoxCell(constants), matrix(40, 8), *last)

    def run(module, frames):
        out, state = [], None
        for step in range(STEPS):
            values, state = module(frames[:, step], state)
            out.append(values)
        return {"count": sum(out), "last": out[-1], "mean": sum(out) / STEPS}[readout]

    assert same(module, run)
