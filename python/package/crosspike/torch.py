"""PyTorch and crosspike: networks out of modules, and training in PyTorch against the chip.

import crosspike, crosspike.torch

# module is a torch.nn.Sequential of a spiking network.
network = crosspike.torch.network(module, input=(1, 8, 8), steps=8)
session = crosspike.Session(network, "rram_4bit", "digits")

# Every forward sees programmed weights; gradients go straight through.
chips = crosspike.torch.attach(module, session)
for images, labels in loader:
    chips.draw()  # fresh variation, as in variation-aware training (VAT)
    optimiser.zero_grad()
    # logits is your loop over the steps; membranes are reset before it.
    loss(logits(module, images), labels).backward()
    optimiser.step()
chips.detach()  # the module has its latent weights, trained
# A session keeps the network that it was opened with.
network = crosspike.torch.network(module, input=(1, 8, 8), steps=8)
"""

import torch
from torch import nn
from torch.nn.utils import parametrize

from . import Model, Network, Programmer, UsageError

__all__ = ["Chips", "attach", "network"]

_EPSILON = 1e-5
"""What crosspike adds to the variance of a batch norm for all steps."""


def network(module, input, steps, readout=None, name="module", weights=None):
    """The network of a module.

    module is a torch.nn.Sequential, or one of a spiking library, of Conv2d, Linear, BatchNorm1d and BatchNorm2d,
    AvgPool2d, MaxPool2d, Flatten, Dropout (which inference does without) and the neurons of SpikingJelly (IFNode,
    LIFNode, ParametricLIFNode), snnTorch (Leaky, Synaptic) or Norse (LIFBoxCell, LIBoxCell as the last). It may be
    nested. Whatever else is refused: a module with a forward of its own does not say what it computes; such a network
    comes as a NIR file (Network.from_nir).

    input is the shape (channels, rows, columns) of an image or frame, steps the time steps. The last matrix is the
    readout: without neurons behind it the logits are the mean of its sums over the steps, with spiking ones their
    spikes, with others the last potential; readout ("mean", "last", "largest", "count", "first") says otherwise. A
    module that chips are attached to gives its latent weights. weights, a state dict with the module's names, takes
    the place of its own, such as one of an earlier epoch.
    """
    parts = list(_leaves(module, ""))
    state = weights if weights is not None else module.state_dict()
    known = set(module.state_dict())
    strange = [name for name in state if name not in known and _original(name) not in known]
    if strange:
        raise UsageError(
            f"weights has `{strange[0]}`, and the module no such tensor; expected names of the module's state dict"
        )
    layers, tensors = _Layers(state).of(parts)
    model = {"name": name, "steps": steps, "input": dict(zip(("channels", "height", "width"), input)), "norm": "none"}
    last = layers.pop()
    if "fc" not in last:
        raise UsageError("the last matrix is a convolution; expected a Linear, whose outputs are the classes")
    model["classes"] = last["fc"]["width"]
    model["readout"] = _readout(last, readout)
    model["layers"] = layers
    return Network(Model(model), tensors)


def _leaves(module, path):
    """The parts of nested sequences, in order, with their names."""
    kind = type(module)
    if module._forward_hooks or module._forward_pre_hooks:
        raise UsageError(f"`{path[:-1] or kind.__name__}` has hooks, which may change what it computes; expected none")
    if kind.forward is nn.Sequential.forward or _is_of(kind, "norse", "SequentialState"):
        for name, child in module.named_children():
            yield from _leaves(child, f"{path}{name}.")
    elif not path:
        raise UsageError(
            f"the module is a {kind.__name__}, whose forward does not say what it computes; expected a torch.nn.Sequential, or the "
            "network as a NIR file (Network.from_nir)"
        )
    else:
        yield path[:-1], module


def _is_of(kind, library, *names):
    """Whether a class is one of a library's."""
    return kind.__name__ in names and kind.__module__.split(".")[0] == library


def _is_plain(part, *kinds):
    """Whether a part computes what one of PyTorch's own does."""
    kind = type(part)
    if not isinstance(part, kinds):
        return False
    wrapped = _is_of(
        kind,
        "spikingjelly",
        "Conv2d",
        "Linear",
        "BatchNorm1d",
        "BatchNorm2d",
        "AvgPool2d",
        "MaxPool2d",
        "Flatten",
        "Dropout",
    )
    if wrapped or any(kind.forward is known.forward for known in kinds):
        return True
    raise UsageError(
        f"a {kind.__name__} has a forward of its own, which does not say what it computes; expected PyTorch's"
    )


class _Layers:
    """The entries of a model, and its tensors, of a module's parts."""

    def __init__(self, state):
        self.state = state
        self.layers = []
        self.tensors = {}
        self.counts = {"conv": 0, "fc": 0}
        self.channels = None

    def of(self, parts):
        for name, part in parts:
            self._take(name, part)
        if not any("conv" in layer or "fc" in layer for layer in self.layers):
            raise UsageError("the module has no Conv2d and no Linear; expected at least one")
        for layer in self.layers[:-1]:
            if ("conv" in layer or "fc" in layer) and "neuron" not in layer:
                raise UsageError(
                    f"no neurons stand behind `{layer['name']}`; expected some behind every matrix but the last"
                )
        return self.layers, self.tensors

    def _take(self, name, part):
        kind = type(part).__name__
        if _is_plain(part, nn.Conv2d):
            self._conv(name, part)
        elif _is_plain(part, nn.Linear):
            self._linear(name, part)
        elif _is_plain(part, nn.BatchNorm1d, nn.BatchNorm2d):
            self._norm(name, part)
        elif _is_plain(part, nn.AvgPool2d, nn.MaxPool2d):
            self._pool(name, part)
        elif _is_plain(part, nn.Flatten, nn.Dropout, nn.Dropout2d, nn.Identity):
            pass
        elif kind in _NEURONS:
            layer = self._open(name, kind)
            if "neuron" in layer:
                raise UsageError(f"`{name}` ({kind}): there are neurons already; expected a matrix before it")
            layer["neuron"] = _NEURONS[kind](part, lambda what, values: self._constant(layer, name, what, values))
        else:
            raise UsageError(
                f"`{name}` is a {kind}; expected Conv2d, Linear, BatchNorm1d, BatchNorm2d, AvgPool2d, MaxPool2d, Flatten, Dropout or one of "
                + ", ".join(_NEURONS)
            )

    def _open(self, name, kind):
        """The matrix that a part stands behind."""
        if not self.layers or "pool" in self.layers[-1]:
            raise UsageError(f"`{name}` ({kind}) stands behind no matrix; expected a Conv2d or Linear before it")
        return self.layers[-1]

    def _tensor(self, name):
        value = self.state.get(name)
        if value is None:
            value = self.state.get(_original(name))
        if value is None:
            raise UsageError(f"the weights have no `{name}`")
        return value

    def _matrix(self, kind, name, part, table):
        if self.layers and ("conv" in self.layers[-1] or "fc" in self.layers[-1]) and "neuron" not in self.layers[-1]:
            raise UsageError(
                f"`{name}`: no neurons stand between it and `{self.layers[-1]['name']}`; expected some between two matrices"
            )
        foreign = [type(way).__name__ for way in _ways(part, "weight") if not isinstance(way, _ChipWeight)]
        if foreign:
            raise UsageError(
                f"the weights of `{name}` are parametrised ({', '.join(foreign)}); expected them as they are: remove_parametrizations"
            )
        self.counts[kind] += 1
        own = f"{kind}{self.counts[kind]}"
        table["bias"] = part.bias is not None
        self.layers.append({"name": own, kind: table})
        self.tensors[f"{own}.weight"] = self._tensor(f"{name}.weight")
        if table["bias"]:
            self.tensors[f"{own}.bias"] = self._tensor(f"{name}.bias")
        self.channels = part.weight.shape[0]

    def _conv(self, name, part):
        if part.padding_mode != "zeros":
            raise UsageError(f"`{name}` pads with `{part.padding_mode}`; expected zeros")
        padding = part.padding
        if padding == "valid":
            padding = (0, 0)
        elif padding == "same":
            spans = [d * (k - 1) for d, k in zip(part.dilation, part.kernel_size)]
            if any(span % 2 for span in spans):
                raise UsageError(
                    f'`{name}` has a padding of "same" that is not the same on both sides; expected numbers'
                )
            padding = [span // 2 for span in spans]
        pairs = {"kernel": part.kernel_size, "stride": part.stride, "padding": padding, "dilation": part.dilation}
        table = {
            "channels": part.out_channels,
            "groups": part.groups,
            **{key: _pair(pair) for key, pair in pairs.items()},
        }
        self._matrix("conv", name, part, table)

    def _linear(self, name, part):
        self._matrix("fc", name, part, {"width": part.out_features})

    def _norm(self, name, part):
        layer = self._open(name, "BatchNorm")
        own = layer["name"]
        if "neuron" in layer or "pool_current" in layer or layer.get("norm"):
            raise UsageError(f"`{name}`: expected a norm right behind its matrix")
        if part.running_mean is None:
            raise UsageError(f"`{name}` keeps no statistics; expected track_running_stats=True")
        layer["norm"] = "batch"
        prefix = f"bn{own[4:]}" if "conv" in layer else "bn_fc" + ("" if own == "fc1" else own[2:])
        ones = torch.ones(part.num_features)
        self.tensors[f"{prefix}.weight"] = self._tensor(f"{name}.weight") if part.affine else ones
        self.tensors[f"{prefix}.bias"] = self._tensor(f"{name}.bias") if part.affine else 0 * ones
        self.tensors[f"{prefix}.running_mean"] = self._tensor(f"{name}.running_mean")
        variance = self._tensor(f"{name}.running_var")
        self.tensors[f"{prefix}.running_var"] = (
            variance if part.eps == _EPSILON else variance.double() + (part.eps - _EPSILON)
        )

    def _pool(self, name, part):
        kind = "max" if isinstance(part, nn.MaxPool2d) else "average"
        dilation = getattr(part, "dilation", 1)
        if part.ceil_mode or (dilation not in (1, (1, 1))) or getattr(part, "divisor_override", None):
            raise UsageError(
                f"`{name}`: ceil_mode, dilation and divisor_override of pools are not modelled; expected none"
            )
        if kind == "average" and _pair(part.padding) != 0 and not part.count_include_pad:
            raise UsageError(f"`{name}`: count_include_pad=False is not modelled; expected True, or no padding")
        stride = part.stride if part.stride is not None else part.kernel_size
        table = {
            "window": _pair(part.kernel_size),
            "stride": _pair(stride),
            "padding": _pair(part.padding),
            "kind": kind,
        }
        before_neurons = self.layers and "neuron" not in self.layers[-1] and "pool" not in self.layers[-1]
        if before_neurons:
            if "pool_current" in self.layers[-1]:
                raise UsageError(f"`{name}`: two pools in front of neurons; expected one")
            self.layers[-1]["pool_current"] = table
        else:
            self.layers.append({"pool": table})

    def _constant(self, layer, name, what, values):
        """A neuron's constant: a number, or a tensor of the checkpoint."""
        values = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
        shape, values = tuple(values.shape), values.reshape(-1)
        if values.numel() == 1 or bool((values == values[0]).all()):
            return {what: float(values[0])}
        channels = self.channels
        known = [(channels, 1, 1), (1, channels, 1, 1)] if "conv" in layer else [(channels,), (1, channels)]
        if shape not in known:
            raise UsageError(
                f"`{name}` has a {what} of the shape {shape}; expected one number, or the shape {known[0]}"
            )
        self.tensors[f"{layer['name']}.{what}"] = values.float()
        return {"given": {what: "channel" if "conv" in layer else "neuron"}}


def _pair(value):
    """A number where both are the same."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    return pair[0] if pair[0] == pair[1] else list(pair)


def _original(name):
    """The name of a tensor behind a parametrisation: its latent values."""
    module, _, tensor = name.rpartition(".")
    return f"{module}.parametrizations.{tensor}.original"


def _merged(*parts):
    """Constants of a neuron, those that are tensors together."""
    neuron = {}
    for part in parts:
        given = {**neuron.get("given", {}), **part.get("given", {})}
        neuron.update(part)
        if given:
            neuron["given"] = given
    return neuron


def _ways(part, name):
    """How a tensor of a module is parametrised."""
    return part.parametrizations[name] if parametrize.is_parametrized(part, name) else []


def _spikingjelly(leak):
    def of(part, constant):
        reset = part.v_reset
        if reset not in (None, 0, 0.0):
            raise UsageError(
                f"v_reset = {reset}: the membrane leaks towards it, which is not modelled; expected None or 0"
            )
        neuron = {"reset": "subtract" if reset is None else "zero", "reset_at": "spike", "fires": "reached"}
        leaks = leak(part)
        scaled = leaks is not None and getattr(part, "decay_input", True)
        return _merged(
            neuron,
            constant("leak", 1.0 if leaks is None else leaks),
            constant("threshold", part.v_threshold),
            {"scaled_input": True} if scaled else {},
        )

    return of


def _snntorch(part, constant):
    mechanism, synaptic = part.reset_mechanism, getattr(part, "alpha", None)
    if mechanism == "subtract" and not getattr(part, "reset_delay", True):
        raise UsageError(
            'reset_delay=False with reset_mechanism="subtract": a membrane above twice the threshold is reset again before the next spike, '
            "which is not modelled; expected reset_delay=True"
        )
    # Leaky empties its membrane before the next step's leak and input, which is as if at the spike; Synaptic behind
    # them.
    delayed = getattr(part, "reset_delay", True) and not (mechanism == "zero" and synaptic is None)
    neuron = {"reset": mechanism, "reset_at": "next" if delayed else "spike", "fires": "above"}
    if (
        getattr(part, "graded_spikes_factor", None) is not None
        and float(torch.as_tensor(part.graded_spikes_factor).max()) != 1.0
    ):
        raise UsageError("graded_spikes_factor: spikes of another size than 1 are not modelled; expected 1")
    if getattr(part, "inhibition", False) or getattr(part, "state_quant", False):
        raise UsageError("inhibition and state_quant are not modelled; expected neither")
    beta = torch.as_tensor(part.beta).clamp(0, 1)
    return _merged(
        neuron,
        constant("leak", beta),
        constant("threshold", part.threshold),
        {} if synaptic is None else constant("synaptic_leak", torch.as_tensor(synaptic).clamp(0, 1)),
    )


def _norse(part, constant):
    p, dt = part.p, part.dt
    for name in ("v_leak", "v_reset"):
        if hasattr(p, name) and bool((torch.as_tensor(getattr(p, name)) != 0).any()):
            raise UsageError(
                f"{name} is not 0: potentials are counted from it in a NIR file (Network.from_nir); expected 0"
            )
    method = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
    resets = {"reset_value": "zero", "reset_subtract": "subtract"}
    if method not in resets:
        raise UsageError(f"reset_method `{method}` is not modelled; expected reset_value or reset_subtract")
    neuron = {"reset": resets[method], "reset_at": "spike", "fires": "above", "scaled_input": True}
    fires = hasattr(p, "v_th")
    leak = 1.0 - dt * torch.as_tensor(p.tau_mem_inv, dtype=torch.float64)
    return _merged(
        neuron if fires else {"scaled_input": True, "silent": True},
        constant("leak", leak),
        constant("threshold", p.v_th) if fires else {},
    )


_NEURONS = {
    "IFNode": _spikingjelly(lambda part: None),
    "LIFNode": _spikingjelly(lambda part: 1.0 - 1.0 / torch.as_tensor(part.tau, dtype=torch.float64)),
    "ParametricLIFNode": _spikingjelly(lambda part: 1.0 - torch.sigmoid(part.w.detach().double())),
    "Leaky": _snntorch,
    "Synaptic": _snntorch,
    "LIFBoxCell": _norse,
    "LIBoxCell": _norse,
}


def _readout(last, kind):
    """The readout that the last matrix is."""
    neuron = last.get("neuron")
    silent = bool(neuron) and neuron.pop("silent", False)
    for key in ("norm", "pool_current"):
        if key in last:
            raise UsageError(f"the last matrix has a {key}; expected none between it and the logits")
    kind = kind or ("mean" if not neuron else "last" if silent else "count")
    if neuron and kind == "mean":
        raise UsageError(
            'readout="mean" is of sums without neurons, and neurons stand behind the last matrix; expected another readout'
        )
    if neuron and kind in ("last", "largest") and not silent and neuron["reset"] != "none":
        raise UsageError(
            f'readout="{kind}" is of potentials that are not reset, and the last neurons are; expected "count" or "first"'
        )
    table = {"kind": kind, "bias": last["fc"]["bias"]}
    if neuron:
        if kind in ("last", "largest"):
            neuron = {
                key: value for key, value in neuron.items() if key in ("leak", "synaptic_leak", "scaled_input", "given")
            }
        table["neuron"] = neuron
    return table


class _StraightThrough(torch.autograd.Function):
    """The programmed weights in the forward direction, the latent ones' gradient backwards."""

    @staticmethod
    def forward(_, latent, programmed):
        return programmed

    @staticmethod
    def backward(_, gradient):
        return gradient, None


class _ChipWeight(nn.Module):
    """Programs a weight as it is read."""

    def __init__(self, chips, layer):
        super().__init__()
        # Not a submodule: the controller holds this one.
        object.__setattr__(self, "chips", chips)
        self.layer = layer
        self.made_of = None

    def __deepcopy__(self, _):
        return _ChipWeight(self.chips, self.layer)

    def forward(self, latent):
        onto = self.chips.onto
        if onto is None:
            return latent
        # The weights of all time steps of a pass are the same ones.
        if self.made_of is None or self.made_of[0] != onto or not torch.equal(self.made_of[1], latent):
            programmed = torch.from_numpy(self.chips.programmer.program(self.layer, latent, **onto))
            self.made_of = (onto, latent.detach().clone(), programmed.to(latent.device, latent.dtype))
        return _StraightThrough.apply(latent, self.made_of[2])


class Chips:
    """What a module's weights are programmed onto, while it trains or is tried: see attach."""

    def __init__(self, module, programmer, layers):
        self.programmer = programmer
        self.onto = {}
        self.step = 0
        self.parts = []
        for layer, part in layers:
            parametrize.register_parametrization(part, "weight", _ChipWeight(self, layer), unsafe=True)
            self.parts.append((layer, part))

    def _check(self):
        if not self.parts:
            raise UsageError("the chip is detached, and the module has its latent weights; expected attach() before")

    def draw(self, step=None):
        """Programs afresh, by the draw of training step `step`; without one, of the next. The same step is the same
        draw."""
        self._check()
        self.step = self.step + 1 if step is None else step
        self.onto = {"step": self.step}

    def chip(self, index):
        """Programs the module's weights onto manufactured chip `index`, with the bits of a Session of a network with
        these weights."""
        self._check()
        self.onto = {"chip": index}

    def nominal(self):
        """Programs onto cells that land on their targets."""
        self._check()
        self.onto = {}

    def off(self):
        """Lets the latent weights through as they are."""
        self._check()
        self.onto = None

    def detach(self):
        """Takes the chip out of the module, which keeps its latent weights."""
        for _, part in self.parts:
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=False)
        self.parts = []

    def latent(self):
        """The latent weights by the layers' names: the parameters that an optimiser moves."""
        return {layer: part.parametrizations.weight.original for layer, part in self.parts}


def attach(module, session, layers=None):
    """Puts a session's chips between a module's weights and its forward.

    From then on every Conv2d and Linear multiplies by what its weights are once they are programmed: quantised,
    varied, with faults, drift and lines, by the device code of crosspike and with its bits; gradients go straight
    through to the latent weights. The chip is the nominal one until Chips.draw() (variation-aware training) or
    Chips.chip() says otherwise. Programming runs on the CPU, the rest on whatever device the module is.

    The module's matrices are the session's layers in order, or as layers says: a dict of the module's names and the
    layers' ({"features.0": "conv1"}). Norms, biases and neurons are digital and left alone. Converters, and reads
    that vary, are refused (Programmer).
    """
    programmer = Programmer(session)
    known = dict(programmer.layers)
    matrices = [(name, part) for name, part in module.named_modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    if layers is None:
        if len(matrices) != len(known):
            raise UsageError(
                f"the module has {len(matrices)} matrices ({', '.join(name for name, _ in matrices)}), the network {len(known)} "
                f"({', '.join(known)}); expected layers= to say which is which"
            )
        pairs = [(layer, part) for layer, (_, part) in zip(known, matrices)]
    else:
        parts = dict(matrices)
        for name, layer in layers.items():
            if name not in parts or layer not in known:
                raise UsageError(
                    f'layers: "{name}": "{layer}"; expected a matrix of the module and a layer, one of {", ".join(known)}'
                )
        pairs = [(layer, parts[name]) for name, layer in layers.items()]
    for layer, part in pairs:
        columns, rows = known[layer]
        if parametrize.is_parametrized(part, "weight"):
            raise UsageError(
                f"the weights of `{layer}` are parametrised already; expected them as they are: Chips.detach() takes a chip out"
            )
        if part.weight.shape[0] != columns or part.weight[0].numel() != rows:
            raise UsageError(
                f"`{layer}` has {columns} columns of {rows} rows, and the module's matrix the shape {tuple(part.weight.shape)}"
            )
    return Chips(module, programmer, pairs)
