"""Arrays, tensors and frames at the border."""

import ast
import inspect
import pickle
import warnings

import numpy as np
import pandas
import polars
import pytest
import torch

import crosspike

CELLS = {
    "name": "cells",
    "rram": {
        "weight_bits": 4,
        "model": "cell",
        "cell": {"g_max_us": 50.0, "on_off_ratio": 10.0},
        "variation": {"kind": "lognormal", "sigma": 0.2},
        "faults": {"stuck_on": 0.02, "stuck_off": 0.02},
    },
    "tile": {"rows": 32, "cols": 32},
    "wires": {"word_ohm": 2.0, "bit_ohm": 3.0},
}


@pytest.fixture(scope="module")
def session():
    network = crosspike.Network.fresh("digits", seed=1)
    return crosspike.Session(network, CELLS, crosspike.Dataset("digits", limit=40))


def test_images_of_every_kind(session):
    images, labels = session.data.images(), session.data.labels
    expected = session.run(3).logits
    strided = np.empty((80, 1, 8, 8), np.float32)[::2]
    strided[:] = images
    for given in (images, images.astype(np.float64), strided, torch.from_numpy(images), np.asfortranarray(images)):
        assert np.array_equal(session.run(3, given, labels).logits, expected)
    tensor = torch.from_numpy(images).requires_grad_()
    assert np.array_equal(session.run(3, tensor, torch.from_numpy(labels.astype(np.int64))).logits, expected)
    assert session.run(3, list(images)).logits.shape == (40, 10)
    swapped, fixed = images.astype(">f4"), images.copy()
    fixed.flags.writeable = False
    assert np.array_equal(session.run(3, swapped).logits, expected) and np.array_equal(
        session.run(3, fixed).logits, expected
    )


def test_a_chip_runs_in_its_own_session(session):
    other = crosspike.Session(session.network, CELLS, session.data, seed=2)
    with pytest.raises(ValueError, match="of another session"):
        other.run(session.program(0))


def test_without_labels_there_is_no_accuracy(session):
    images = session.data.images()
    unlabelled = crosspike.Session(session.network, CELLS, images)
    series = unlabelled.evaluate(2)
    for run in (
        session.run(3, images),
        unlabelled.run(0),
        session.run(0, crosspike.Dataset.from_arrays(images)),
        series[0],
    ):
        assert run.accuracy is None and run.correct is None and "correct" not in repr(run)
    assert series.logits.shape == (2, 40, 10) and "correct" not in repr(series)
    for of in (lambda: series.accuracy, lambda: series.results, lambda: series.summary):
        with pytest.raises(ValueError, match="no labels"):
            of()
    with pytest.raises(ValueError, match="has its own"):
        session.run(0, "digits", labels=np.zeros(360, int))
    with pytest.raises(ValueError, match="of which images"):
        session.run(0, labels=np.zeros(40, int))


def test_what_is_no_image_is_refused(session):
    images = session.data.images()
    spoilt = images.copy()
    spoilt[1, 0, 2, 3] = np.inf
    beyond = images.copy()
    beyond[0, 0, 0, 0] = 1e6
    for given, labels, kind, words in [
        (images[0, 0], None, ValueError, "[N, C, H, W]"),
        (images[:, :, :4], None, crosspike.MismatchError, "1x4x8"),
        (spoilt, None, crosspike.MismatchError, "value 19 of image 1 is inf"),
        (images.astype(complex), None, TypeError, "complex128"),
        (np.ma.masked_array(images, mask=images > 0), None, TypeError, "masked array"),
        (np.array(["a"]), None, TypeError, "expected real numbers"),
        (images[:0], None, crosspike.MismatchError, "at least one"),
        (images, np.zeros(3, int), crosspike.MismatchError, "3 labels for 40 images"),
        (images, np.full(40, 10), crosspike.MismatchError, "classes"),
        (images, -np.ones(40, int), ValueError, "a label is -1"),
        (images, np.zeros(40), TypeError, "labels is an array of float64"),
        (images, np.zeros((40, 1), int), ValueError, "[images]"),
    ]:
        with pytest.raises(kind) as error:
            session.run(0, given, labels)
        assert words in str(error.value), error.value
    direct = crosspike.Session(crosspike.Network.fresh("digits"), None, images, encoding="direct")
    with pytest.raises(crosspike.MismatchError) as error:
        direct.run(0, beyond)
    assert "expected values of the data that it was made for" in str(error.value)


def test_a_chip_is_what_it_was_programmed_to(session):
    chip = session.program(7)
    layer = chip["conv2"]
    assert (layer.place, layer.tiles, layer.shift, layer.companion) == ("rram", (5, 2), None, None)
    assert layer.target.shape == layer.effective.shape == (32, 144)
    assert np.array_equal(layer.residual, layer.target - layer.programmed)
    lowest, highest = 5.0, 50.0
    faults = layer.faults
    assert set(np.unique(faults)) == {0, 1, 2}
    assert (layer.conductances[faults == 1] == lowest).all() and (layer.conductances[faults == 2] == highest).all()
    # One-sided pairs of 8 levels, of which the highest is a weight of 1.
    pairs = (layer.conductances - layer.conductances_subtracted)[0] / (highest - lowest)
    assert np.allclose(pairs, layer.programmed, atol=1e-6)
    with pytest.raises(KeyError, match="conv9"):
        chip["conv9"]
    assert list(chip) == ["conv1", "conv2", "fc1", "fc2"] and len(chip) == 4
    layer.target[:] = 0
    assert layer.target.any()


def test_tiles_carry_what_lines_leave(session):
    layer = session.program(7)["conv2"]
    tile = layer.tile(1, 1)
    assert tile.rows == (32, 64) and tile.lines[:2] == [(0, False, 16), (0, True, 16)] and tile.ohm == (2.0, 3.0)
    assert tile.terminal_ohm == (0.0, 0.0)
    # A cell of 10 kilohm behind a driver of 1 and in front of a sense node of 2.
    behind = crosspike.solve_tile(np.array([[1e-4]]), np.array([1.3]), driver_ohm=1e3, sense_ohm=2e3)
    assert np.allclose(behind, [1e-4], rtol=1e-12)
    assert tile.conductances[5, 1] == layer.conductances_subtracted[0, 16, 37] * 1e-6
    volts = np.random.default_rng(2).uniform(0, 0.2, size=(3, 32))
    currents = tile.solve(volts)
    assert currents.shape == (3, 32)
    assert np.array_equal(currents, crosspike.solve_tile(tile.conductances, volts, 2.0, 3.0))
    assert np.array_equal(tile.solve(volts[1]), currents[1])
    iterative = crosspike.solve_tile(tile.conductances, volts, 2.0, 3.0, method="iterative", tolerance=1e-12)
    assert np.allclose(iterative, currents, rtol=1e-9)
    assert (currents < volts @ tile.conductances).all()
    assert np.allclose(crosspike.solve_tile(tile.conductances, volts), volts @ tile.conductances, rtol=1e-14)
    assert tile.netlist(0.2).count("\nVf") == 32
    for arguments, kind in [
        ((np.ones(3), np.ones(3)), ValueError),
        ((np.ones((2, 3)), np.ones(3)), ValueError),
        ((-np.ones((2, 3)), np.ones(2)), crosspike.MismatchError),
        ((np.ones((2, 3)), np.array([1.0, np.nan])), crosspike.MismatchError),
        ((np.ones((2, 3)), np.ones(2), -1.0), crosspike.UsageError),
        ((np.ones((0, 0)), np.ones((1, 0))), crosspike.MismatchError),
    ]:
        with pytest.raises(kind):
            crosspike.solve_tile(*arguments)
    with pytest.raises(IndexError):
        layer.tile(5, 0)


def test_frames_go_to_pandas_polars_and_arrow(session):
    series = session.evaluate(3)
    frame = series.results
    assert len(frame) == 3 and frame.columns[:2] == ["chip", "accuracy"]
    as_pandas, as_polars = frame.to_pandas(), frame.to_polars()
    assert isinstance(as_pandas, pandas.DataFrame) and isinstance(as_polars, polars.DataFrame)
    assert list(as_pandas["accuracy"]) == as_polars["accuracy"].to_list() == list(series.accuracy)
    assert as_polars["chip"].dtype == polars.Int64 and as_polars["energy_pj_per_image"].null_count() == 3
    pyarrow = pytest.importorskip("pyarrow")
    assert pyarrow.table(frame).column("chip").to_pylist() == [0, 1, 2]
    assert "<td>" in frame._repr_html_()


def test_networks_of_dicts_and_modules(tmp_path):
    network = crosspike.Network.fresh("digits", seed=3)
    state = network.state_dict()
    assert crosspike.Network("digits", state).hash == network.hash
    assert (
        crosspike.Network("digits", {f"module.{name}": torch.from_numpy(array) for name, array in state.items()}).hash
        == network.hash
    )
    network.save(tmp_path / "n.safetensors")
    assert crosspike.Network("digits", tmp_path / "n.safetensors").hash == network.hash
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, tmp_path / "n.pth")
    assert crosspike.Network("digits", str(tmp_path / "n.pth")).hash == network.hash
    missing = dict(state)
    del missing["conv2.weight"]
    with pytest.raises(crosspike.MismatchError, match="conv2.weight"):
        crosspike.Network("digits", missing)
    with pytest.raises(crosspike.FileError):
        crosspike.Network("digits", tmp_path / "none.pth")


def test_profiles_of_dicts_and_overrides():
    profile = crosspike.Profile(CELLS, {"rram.variation.scale": 2.0, "tile.rows": np.int64(64)})
    keys = profile.to_dict()
    assert (keys["rram"]["variation"]["scale"], keys["tile"]["rows"], keys["tile"]["cols"]) == (2.0, 64, 32)
    again = profile.replace({"rram": {"variation": {"scale": None}}})
    assert again.to_dict()["rram"]["variation"]["sigma"] == 0.2
    dotted = crosspike.Profile(
        {"rram.weight_bits": 4, "rram": {"variation.sigma": 0.3}, "rram.variation.kind": "lognormal"}
    )
    assert dotted.to_dict()["rram"]["variation"]["sigma"] == 0.3
    assert again.to_dict()["rram"]["variation"]["scale"] == 1.0
    for name in crosspike.PROFILES:
        shipped = crosspike.Profile(name)
        assert crosspike.Profile(shipped.to_dict()).to_dict() == shipped.to_dict()
    assert crosspike.Profile("rram_4bit").name and crosspike.Profile().to_dict()["rram"]["weight_bits"] == 0
    for source, set, words in [
        ({"rram": {"sigm": 1}}, None, "rram.sigm"),
        (CELLS, {"rram.weight_bits": 99}, "set rram.weight_bits=99: rram.weight_bits"),
        (CELLS, {"rram.variation.kind": "normal"}, "rram.variation.kind"),
    ]:
        with pytest.raises(crosspike.ConfigError, match=words):
            crosspike.Profile(source, set)
    with pytest.raises(crosspike.UsageError, match="is no profile"):
        crosspike.Profile("rram_5bit")
    with pytest.raises(TypeError):
        crosspike.Profile({"rram": {"weight_bits": object()}})
    with pytest.raises(ValueError, match="is there twice"):
        crosspike.Profile({"rram": {"weight_bits": 4}, "rram.weight_bits": 2})


def test_keys_without_effect_are_warned_of():
    network = crosspike.Network.fresh("digits")
    with pytest.warns(crosspike.Notice, match="adc.step"):
        session = crosspike.Session(network, {"adc": {"step": "free"}}, "digits")
    with pytest.warns(crosspike.Notice, match="do not look normalised"):
        session.run(0, np.full((1, 1, 8, 8), 200, np.uint8))


def test_notices_of_studies_are_warnings_too(tmp_path):
    (tmp_path / "digits.toml").write_text(crosspike.Model("digits").to_toml())
    file = {"model": tmp_path / "digits.toml", "data": "digits", "train": {"epochs": 1, "limit": 64, "batch": 32}}
    with pytest.warns(crosspike.Notice, match="adc.step"):
        network = crosspike.train(file, out=tmp_path / "run", set={"adc.step": "free"})
    with pytest.warns(crosspike.Notice, match="trained with the encoding"):
        crosspike.Session(network, None, "digits", encoding="direct")
    network.save(tmp_path / "again.safetensors")
    with pytest.warns(crosspike.Notice, match="trained with the encoding"):
        crosspike.Session(
            crosspike.Network("digits", tmp_path / "again.safetensors"), None, "digits", encoding="direct"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", crosspike.Notice)
        with pytest.raises(crosspike.Notice):
            crosspike.train(file, out=tmp_path / "other", set={"adc.step": "free"})


def test_studies_take_objects_and_shipped_names(tmp_path, session):
    file = {
        "name": "tiles", "model": session.network.model, "checkpoint": session.network, "profile": session.profile,
        "data": "digits", "limit": 20, "chips": 2, "grid": {"tile.rows": [16, 32]},
    }  # fmt: skip
    study = crosspike.sweep(file, out=tmp_path / "tiles")
    assert study.results["chip"] == [0, 1, 0, 1]
    with pytest.raises(KeyError, match="no column"):
        study.results["chips"]
    train = {
        "model": "digits",
        "profile": "rram_4bit",
        "data": "digits",
        "train": {"epochs": 1, "limit": 64, "batch": 32},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", crosspike.Notice)
        assert crosspike.train(train, out=tmp_path / "run").model.name == "digits"
    with pytest.raises(crosspike.ConfigError, match="digitz"):
        crosspike.train({**train, "model": "digitz"}, out=tmp_path / "none")


def test_converters_are_calibrated_on_training_images(session):
    images, labels = session.data.images(), session.data.labels
    training = crosspike.Dataset("digits", "train")
    profile = crosspike.Profile("spikesim_65nm", {"adc.calibration_images": 32})
    expected = crosspike.Session(session.network, profile, "digits").run(1, images).logits
    for given in (training, "digits", training.images()):
        found = crosspike.Session(session.network, profile, images, labels, calibration=given)
        assert np.array_equal(found.run(1).logits, expected)
        assert np.array_equal(pickle.loads(pickle.dumps(found)).run(1).logits, expected)
    tested = crosspike.Dataset.from_arrays(images, labels)
    for given, words in [(None, "^calibration data: .* is one set"), (tested, "holds the images that are tested")]:
        with pytest.raises(crosspike.Error, match=words):
            crosspike.Session(session.network, profile, images, labels, calibration=given)
    with pytest.raises(crosspike.UsageError, match="profiles no converters"):
        crosspike.Session(session.network, "rram_4bit", images, labels, calibration=training)


def test_what_chips_are_made_from_can_be_pickled(session):
    again = pickle.loads(pickle.dumps(session))
    assert np.array_equal(again.run(3).logits, session.run(3).logits)
    arrays = crosspike.Dataset.from_arrays(session.data.images())
    copied = pickle.loads(pickle.dumps(arrays))
    assert len(copied) == 40 and copied.labels is None
    assert pickle.loads(pickle.dumps(session.network)).hash == session.network.hash


def test_messages_name_arguments_and_leave_paths_alone(tmp_path):
    missing = tmp_path / "run--best" / "x--force.safetensors"
    with pytest.raises(crosspike.FileError) as error:
        crosspike.Network("digits", missing)
    assert str(missing) in str(error.value)
    with pytest.raises(crosspike.ConfigError, match="set stps=8"):
        crosspike.Model("digits", {"stps": 8})
    with pytest.raises(ValueError, match="the exact method has none"):
        crosspike.solve_tile(np.ones((2, 2)), np.ones(2), tolerance=1e-3)


def test_everything_teaches():
    for name in crosspike.__all__:
        thing = getattr(crosspike, name)
        if callable(thing):
            assert thing.__doc__ and len(thing.__doc__) > 20, name
            members = (
                [member for member in vars(thing) if not member.startswith("_")] if isinstance(thing, type) else []
            )
            own = [member for member in members if not issubclass(thing, BaseException)]
            assert all(getattr(thing, member).__doc__ for member in own), (name, own)


def test_stubs_say_what_there_is():
    from pathlib import Path

    text = (Path(crosspike.__file__).parent / "_crosspike.pyi").read_text()
    stubs = {node.name: node for node in ast.parse(text).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    for name in crosspike.__all__:
        thing = getattr(crosspike, name)
        if isinstance(thing, type):
            listed = {node.name for node in stubs[name].body if isinstance(node, ast.FunctionDef)}
            there = {member for member in vars(thing) if not member.startswith("_")}
            for node in stubs[name].body:
                method = getattr(thing, getattr(node, "name", ""), None)
                if isinstance(node, ast.FunctionDef) and callable(method) and not node.name.startswith("__"):
                    arguments = [argument.arg for argument in node.args.args if argument.arg != "self"]
                    assert [one for one in inspect.signature(method).parameters if one != "self"] == arguments, (
                        name,
                        node.name,
                    )
            assert there == {member for member in listed if not member.startswith("_")} or issubclass(
                thing, BaseException
            ), name
        elif callable(thing):
            arguments = [argument.arg for argument in stubs[name].args.args]
            assert list(inspect.signature(thing).parameters) == arguments, name
