"""Networks out of PyTorch modules, and training against the chip."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import crosspike.torch  # noqa: E402
from torch import nn  # noqa: E402

import crosspike  # noqa: E402

STEPS = 8


class Spike(torch.autograd.Function):
    """A step, with the derivative of a triangle."""

    @staticmethod
    def forward(context, excess):
        context.save_for_backward(excess)
        return (excess > 0).to(excess.dtype)

    @staticmethod
    def backward(context, gradient):
        (excess,) = context.saved_tensors
        return gradient * 0.3 * torch.clamp(1 - excess.abs(), min=0)


class Leaky(nn.Module):
    """Neurons with the attributes, and the arithmetic, of snnTorch's: reset a step later."""

    def __init__(self, beta, threshold=1.0, reset_mechanism="subtract"):
        super().__init__()
        self.register_buffer("beta", torch.as_tensor(float(beta)))
        self.register_buffer("threshold", torch.as_tensor(float(threshold)))
        self.reset_mechanism = reset_mechanism
        self.mem = None

    def forward(self, current):
        mem = current
        if self.mem is not None:
            mem = self.beta * self.mem + current - self.threshold * (self.mem > self.threshold).to(current.dtype)
        self.mem = mem
        return Spike.apply(mem - self.threshold)


def digits_module():
    """The digits' network with one norm for all steps."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), Leaky(0.95), nn.AvgPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), Leaky(0.95), nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64, bias=False), nn.BatchNorm1d(64), Leaky(0.95),
        nn.Linear(64, 10, bias=False),
    )  # fmt: skip


def logits(module, images, steps=STEPS):
    """The mean of the readout's sums, the image sent at every step; norms see all steps together."""
    values = images.expand(steps, *images.shape)
    for part in module:
        if isinstance(part, Leaky):
            part.mem = None
            values = torch.stack([part(step) for step in values])
        else:
            values = part(values.flatten(0, 1)).unflatten(0, (steps, len(images)))
    return values.mean(0)


@pytest.fixture(scope="module")
def data():
    return crosspike.Dataset("digits", "train"), crosspike.Dataset("digits")


def test_a_module_is_the_network_that_runs(data):
    torch.manual_seed(0)
    module = digits_module()
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.2, 0.2)
            nn.init.uniform_(part.running_mean, -0.3, 0.3)
            nn.init.uniform_(part.running_var, 0.2, 1.0)
    module.eval()
    network = crosspike.torch.network(module, input=(1, 8, 8), steps=STEPS)
    assert [name for name, _ in network.model.layers] == ["conv1", "conv2", "fc1", "fc2"]
    images = data[1].images()[:32]
    session = crosspike.Session(network, None, images, encoding="direct")
    with torch.no_grad():
        expected = logits(module, torch.from_numpy(images)).numpy()
    found = session.run(0).logits
    # A spike that sums in another order decide otherwise moves its image's logits; most have none.
    same = np.isclose(found, expected, atol=1e-4 * np.abs(expected).max()).all(axis=1)
    assert same.mean() > 0.9, same.mean()


@pytest.mark.parametrize("name", ["IFNode", "LIFNode", "ParametricLIFNode", "Leaky", "Synaptic", "LIFBoxCell"])
def test_neurons_have_their_constants(name):
    made = {
        "IFNode": {"v_threshold": 0.5, "v_reset": None},
        "LIFNode": {"v_threshold": 0.5, "v_reset": 0.0, "tau": 4.0, "decay_input": True},
        "ParametricLIFNode": {"v_threshold": 1.0, "v_reset": None, "w": torch.tensor(0.0), "decay_input": False},
        "Leaky": {
            "beta": torch.tensor([0.5, 0.6, 0.7, 0.8]),
            "threshold": torch.tensor(2.0),
            "reset_mechanism": "zero",
        },
        "Synaptic": {
            "beta": torch.tensor(0.5),
            "alpha": torch.tensor(0.9),
            "threshold": torch.tensor(1.0),
            "reset_mechanism": "subtract",
        },
        "LIFBoxCell": {
            "dt": 0.001,
            "p": type(
                "P",
                (),
                {
                    "tau_mem_inv": torch.tensor(100.0),
                    "v_th": torch.tensor(0.5),
                    "v_leak": torch.tensor(0.0),
                    "v_reset": torch.tensor(0.0),
                },
            ),
        },
    }[name]
    expected = {
        "IFNode": {"leak": 1.0, "threshold": 0.5, "fires": "reached"},
        "LIFNode": {"leak": 0.75, "threshold": 0.5, "reset": 0.0, "scaled_input": True, "fires": "reached"},
        "ParametricLIFNode": {"leak": 0.5, "fires": "reached"},
        "Leaky": {"given": {"leak": "neuron"}, "threshold": 2.0, "reset": 0.0, "reset_at": "spike"},
        "Synaptic": {"leak": 0.5, "synaptic_leak": 0.9, "reset_at": "next"},
        "LIFBoxCell": {"leak": 0.9, "threshold": 0.5, "reset": 0.0, "scaled_input": True},
    }[name]
    neuron = type(name, (nn.Module,), {})()
    for key, value in made.items():
        setattr(neuron, key, value)
    module = nn.Sequential(nn.Linear(3, 4), neuron, nn.Linear(4, 2))
    network = crosspike.torch.network(module, input=(3, 1, 1), steps=4)
    found = network.model.to_dict()["layers"][0]["neuron"]
    assert {key: found[key] for key in expected} == {
        key: pytest.approx(value) if isinstance(value, float) else value for key, value in expected.items()
    }
    if "given" in expected:
        assert np.array_equal(network.state_dict()["fc1.leak"], made["beta"])


@pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
@pytest.mark.parametrize(
    "reset, delay", [("subtract", True), ("zero", True), ("zero", False), ("none", True), ("none", False)]
)
def test_neurons_of_snntorch_fire_as_they_do_there(kind, reset, delay):
    snn = pytest.importorskip("snntorch")
    from snntorch import utils

    torch.manual_seed(3)
    own = {"beta": 0.8, "reset_mechanism": reset, "reset_delay": delay, "init_hidden": True}
    own.update({"alpha": 0.6} if kind == "Synaptic" else {})
    module = nn.Sequential(nn.Linear(6, 40), getattr(snn, kind)(**own), nn.Linear(40, 8), getattr(snn, kind)(**own))
    with torch.no_grad():
        [part.weight.mul_(3.0) for part in module if isinstance(part, nn.Linear)]
    frames = torch.rand(30, 12, 6)
    utils.reset(module)
    with torch.no_grad():
        expected = sum(module(frames[:, step]) for step in range(12)).numpy()
    network = crosspike.torch.network(module, input=(6, 1, 1), steps=12)
    given = frames.numpy().reshape(30, 12, 6, 1, 1)
    found = crosspike.Session(network, None, given).run(0).logits
    assert expected.sum() > 100
    assert (found == expected).mean() > 0.97, (found == expected).mean()


def test_weights_that_are_given_take_the_place_of_the_modules():
    module, other = (nn.Sequential(nn.Linear(3, 4), Leaky(0.5), nn.Linear(4, 2)) for _ in range(2))
    given = crosspike.torch.network(module, input=(3, 1, 1), steps=4, weights=other.state_dict())
    assert given.hash == crosspike.torch.network(other, input=(3, 1, 1), steps=4).hash
    with pytest.raises(crosspike.UsageError, match="no such tensor"):
        crosspike.torch.network(
            module, input=(3, 1, 1), steps=4, weights={**other.state_dict(), "9.weight": torch.ones(1)}
        )


def test_readouts_follow_what_stands_behind_the_last_matrix():
    def readout(*parts, **more):
        module = nn.Sequential(nn.Linear(3, 4), Leaky(0.5), nn.Linear(4, 2), *parts)
        return crosspike.torch.network(module, input=(3, 1, 1), steps=4, **more).model.to_toml()

    assert 'kind = "mean"' in readout() and 'kind = "count"' in readout(Leaky(0.9))
    assert 'kind = "largest"' in readout(Leaky(0.9, reset_mechanism="none"), readout="largest")
    with pytest.raises(crosspike.UsageError, match="potentials that are not reset"):
        readout(Leaky(0.9), readout="largest")
    with pytest.raises(crosspike.UsageError, match="of sums without neurons"):
        readout(Leaky(0.9), readout="mean")


def test_what_a_module_does_not_say_is_refused():
    class Own(nn.Module):
        pass

    class Skip(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    class Half(nn.Linear):
        def forward(self, x):
            return 0.5 * super().forward(x)

    reset, hooked, wide = Leaky(0.5), nn.Linear(3, 4), Leaky(0.5)
    reset.graded_spikes_factor = torch.tensor(2.0)
    twice = Leaky(0.5)
    twice.reset_delay = False
    hooked.register_forward_hook(lambda *_: None)
    wide.beta = torch.linspace(0.1, 0.9, 6)
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))
    for module, words in [
        (Own(), "forward does not say what it computes"),
        (nn.Sequential(nn.Linear(3, 4), Own()), "is a Own"),
        (nn.Sequential(nn.Linear(3, 4), twice, nn.Linear(4, 2)), "reset_delay=False"),
        (Skip(nn.Linear(3, 3), Leaky(0.5)), "forward does not say what it computes"),
        (nn.Sequential(Half(3, 4), Leaky(0.5), nn.Linear(4, 2)), "a Half has a forward of its own"),
        (nn.Sequential(hooked, Leaky(0.5), nn.Linear(4, 2)), "has hooks"),
        (nn.Sequential(spectral, Leaky(0.5), nn.Linear(4, 2)), "_SpectralNorm"),
        (nn.Sequential(nn.Conv2d(1, 6, 3), wide, nn.Linear(4, 2)), "expected one number, or the shape"),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), "no neurons stand between"),
        (nn.Sequential(Leaky(0.5)), "stands behind no matrix"),
        (nn.Sequential(nn.Linear(3, 4), reset, nn.Linear(4, 2)), "graded_spikes_factor"),
        (nn.Sequential(nn.Linear(3, 4), Leaky(0.5), nn.BatchNorm1d(4), nn.Linear(4, 2)), "right behind its matrix"),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding_mode="reflect"), Leaky(0.5), nn.Linear(4, 2)), "pads with"),
        (nn.Sequential(nn.Conv2d(1, 2, 3)), "expected a Linear"),
        (nn.Sequential(nn.Flatten()), "no Conv2d and no Linear"),
    ]:
        with pytest.raises(crosspike.UsageError, match=words):
            crosspike.torch.network(module, input=(1, 8, 8), steps=2)


def test_programmed_weights_are_seen_forward_and_passed_backward(data):
    module = digits_module()
    network = crosspike.torch.network(module, input=(1, 8, 8), steps=STEPS)
    session = crosspike.Session(network, "rram_4bit", data[1], encoding="direct", seed=6)
    latent = module[0].weight.detach().clone()
    chips = crosspike.torch.attach(module, session)
    chips.chip(3)
    expected = session.program(3)["conv1"].effective.reshape(16, 1, 3, 3)
    assert np.array_equal(module[0].weight.detach().numpy(), expected)
    module[0].weight.sum().backward()
    assert bool((chips.latent()["conv1"].grad == 1).all())
    chips.draw(1)
    first = module[0].weight.detach().clone()
    chips.draw()
    assert chips.step == 2 and not torch.equal(module[0].weight, first)
    chips.draw(1)
    assert torch.equal(module[0].weight, first)
    chips.nominal()
    assert np.array_equal(module[0].weight.detach().numpy(), session.program(0)["conv1"].target.reshape(16, 1, 3, 3))
    chips.latent()["conv1"].data.mul_(0.5)
    assert not np.array_equal(
        module[0].weight.detach().numpy(), session.program(0)["conv1"].target.reshape(16, 1, 3, 3)
    )
    chips.chip(3)
    copied = copy.deepcopy(module)
    assert torch.equal(copied[0].weight, module[0].weight)
    with pytest.raises(crosspike.UsageError, match="parametrised already"):
        crosspike.torch.attach(module, session)
    chips.off()
    assert torch.equal(module[0].weight, latent * 0.5)
    chips.detach()
    with pytest.raises(crosspike.UsageError, match="detached"):
        chips.draw()
    assert isinstance(module[0].weight, nn.Parameter) and torch.equal(module[0].weight, latent * 0.5)
    with pytest.raises(crosspike.UsageError, match="expected layers="):
        crosspike.torch.attach(nn.Sequential(nn.Linear(3, 4)), session)
    with pytest.raises(crosspike.UsageError, match="adc.bits"):
        crosspike.torch.attach(module, crosspike.Session(network, {"adc": {"bits": 6}}, data[1], encoding="direct"))


EPOCHS, BATCH, RATE = 12, 32, 5e-3
SIGMAS = {"rram.variation.scale": 1.0}


def trained_in_pytorch(data, seed):
    """The digits' network, trained against fresh chips in PyTorch."""
    training, _ = data
    torch.manual_seed(seed)
    module = digits_module()
    start = crosspike.Network.fresh({**dict_of(module), "name": "digits"}, seed=seed)
    with torch.no_grad():
        for part, name in zip(
            [p for p in module if hasattr(p, "weight") and p.weight.ndim > 1], ("conv1", "conv2", "fc1", "fc2")
        ):
            part.weight.copy_(torch.from_numpy(start.state_dict()[f"{name}.weight"]))
    network = crosspike.torch.network(module, input=(1, 8, 8), steps=STEPS)
    session = crosspike.Session(network, crosspike.Profile("rram_4bit", SIGMAS), training, encoding="direct", seed=seed)
    chips = crosspike.torch.attach(module, session)
    optimiser = torch.optim.AdamW(module.parameters(), lr=RATE, weight_decay=1e-4)
    images, labels = torch.from_numpy(training.images()), torch.from_numpy(training.labels.astype(np.int64))
    rates = torch.optim.lr_scheduler.MultiStepLR(optimiser, [int(EPOCHS * part) for part in (0.5, 0.7, 0.9)])
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(labels)).split(BATCH):
            chips.draw()
            optimiser.zero_grad()
            nn.functional.cross_entropy(logits(module, images[batch]), labels[batch]).backward()
            optimiser.step()
        rates.step()
    chips.detach()
    return module.eval()


def dict_of(module):
    """The model of a module, as a dict."""
    return {
        "steps": STEPS,
        "classes": 10,
        "norm": "batch",
        "input": {"channels": 1, "height": 8, "width": 8},
        "layers": [{"conv": 16}, {"pool": 2}, {"conv": 32}, {"pool": 2}, {"fc": 64}],
    }


def test_training_against_the_chip_does_as_well_as_crosspike_train(data, tmp_path):
    torch.set_num_threads(2)
    module = trained_in_pytorch(data, seed=1)
    network = crosspike.torch.network(module, input=(1, 8, 8), steps=STEPS)
    profile = crosspike.Profile("rram_4bit", SIGMAS)
    ours = crosspike.Session(network, profile, data[1], encoding="direct").evaluate(50)
    model, hardware = tmp_path / "digits.toml", tmp_path / "hardware.toml"
    model.write_text(crosspike.Model({**dict_of(module), "name": "digits"}).to_toml())
    hardware.write_text(profile.to_toml())
    file = {
        "model": model,
        "profile": hardware,
        "data": "digits",
        "encoding": "direct",
        "train": {"epochs": EPOCHS, "batch": BATCH, "variation": True, "optimiser": "adamw", "learning_rate": RATE},
    }
    own = crosspike.Session(crosspike.train(file, out=tmp_path / "run"), profile, data[1], encoding="direct").evaluate(
        50
    )
    print("PyTorch", ours.accuracy.mean(), "crosspike", own.accuracy.mean())
    assert ours.accuracy.mean() > own.accuracy.mean() - 1.0
    # The weights of the chip that PyTorch would see are those that crosspike programs.
    session = crosspike.Session(network, profile, data[1], encoding="direct")
    chips = crosspike.torch.attach(module, session)
    chips.chip(4)
    programmed = session.program(4)
    for layer, part in chips.parts:
        assert np.array_equal(part.weight.detach().numpy().reshape(-1), programmed[layer].effective.reshape(-1))
