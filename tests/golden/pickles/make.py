"""Writes protocol0.pth to protocol5.pth: what a training script saves by torch.save, in every protocol of Python's
pickle; and several.pth and elsewhere.pth, whose weights are under keys of their own.

The classes and functions of PyTorch and NumPy are stand-ins of the same names, so that no more than Python is needed;
the storages are those that torch.save writes. Values: `w` 0 to 5 as [2, 3]; `p` and `s` 1, 2 (parameters, the second
with attributes); `i` int8 -1, 2; `u` uint16 65535; `h` half 0.5, -2.
"""

import argparse, collections, io, pickle, struct, sys, types, zipfile


def module(name, **contents):
    made = types.ModuleType(name)
    for key, value in contents.items():
        value.__module__, value.__qualname__ = name, key
        setattr(made, key, value)
    sys.modules[name] = made
    return made


def function(name):
    scope = {}
    exec(f"def {name}(*arguments): pass", scope)
    return scope[name]


kinds = {name: type(name, (), {}) for name in ["FloatStorage", "CharStorage", "HalfStorage", "LongStorage", "Size"]}
torch = module("torch", uint16=function("uint16"), **kinds)
names = ["_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter", "_rebuild_parameter_with_state"]
utils = module("torch._utils", **{name: function(name) for name in names})
module("torch.storage", UntypedStorage=type("UntypedStorage", (), {}))
module("numpy", dtype=function("dtype"))
module("numpy._core")
multiarray = module("numpy._core.multiarray", scalar=function("scalar"))
storages = []


class Calls:
    """What pickles as a call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce_ex__(self, protocol):
        return self.reduced


class Storage:
    def __init__(self, kind, count, data):
        self.id = ("storage", kind, str(len(storages)), "cpu", count)
        storages.append(data)


def tensor(kind, form, values, shape):
    strides = tuple(int(__import__("math").prod(shape[i + 1 :])) for i in range(len(shape)))
    storage = Storage(kind, len(values), struct.pack(f"<{len(values)}{form}", *values))
    return Calls(utils._rebuild_tensor_v2, storage, 0, shape, strides, False, collections.OrderedDict())


def contents():
    storages.clear()
    p, s = (tensor(torch.FloatStorage, "f", [1, 2], (2,)) for _ in range(2))
    untyped = Storage(sys.modules["torch.storage"].UntypedStorage, 2, b"\xff\xff")
    u = Calls(utils._rebuild_tensor_v3, untyped, 0, (1,), (1,), False, collections.OrderedDict(), torch.uint16, None)
    weights = collections.OrderedDict(
        w=tensor(torch.FloatStorage, "f", range(6), (2, 3)),
        p=Calls(utils._rebuild_parameter, p, True, collections.OrderedDict()),
        s=Calls(utils._rebuild_parameter_with_state, s, True, collections.OrderedDict(), {"tag": "x"}),
        i=tensor(torch.CharStorage, "b", [-1, 2], (2,)),
        u=u,
        h=tensor(torch.HalfStorage, "e", [0.5, -2], (2,)),
    )
    momentum = tensor(torch.FloatStorage, "f", [9], (1,))
    return {
        "global_step": 90,
        "accuracy": Calls(
            multiarray.scalar, Calls(sys.modules["numpy"].dtype, "f8", False, True, state=(3, "<")), b"\0" * 8
        ),
        "args": argparse.Namespace(lr=0.1, name="größe"),
        "state_dict": weights,
        "optimizer": {"state": {0: {"momentum_buffer": momentum}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
        "shape": Calls(torch.Size, (2, 3)),
        "plain": [
            True,
            None,
            1 << 100,
            -(1 << 40),
            0.5,
            b"bytes",
            bytearray(b"x"),
            {1, 2},
            frozenset([3]),
            (1, 2, 3, 4),
            "text",
        ],
        "default": collections.defaultdict(list, a=[1]),
        "complex": 1 + 2j,
    }


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        return thing.id if isinstance(thing, Storage) else None


def save(name, protocol, contents):
    program = io.BytesIO()
    Pickler(program, protocol).dump(contents)
    with zipfile.ZipFile(f"{name}.pth", "w") as file:
        file.writestr(zipfile.ZipInfo(f"{name}/data.pkl"), program.getvalue())
        file.writestr(zipfile.ZipInfo(f"{name}/byteorder"), "little")
        for number, data in enumerate(storages):
            file.writestr(zipfile.ZipInfo(f"{name}/data/{number}"), data)


def one(value):
    return tensor(torch.FloatStorage, "f", [value], (1,))


for protocol in range(6):
    save(f"protocol{protocol}", protocol, contents())
storages.clear()
save("several", 2, {"teacher": {"w": one(1)}, "student": {"weights": {"w": one(2)}, "leak_mem": 0.5}, "epoch": 3})
storages.clear()
save("elsewhere", 2, {"snn": {"weights": {"w": one(4)}}, "epoch": 3})
