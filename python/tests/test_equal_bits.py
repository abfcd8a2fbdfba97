"""The same bits as the binary, over all shipped models and profiles."""

import csv

import numpy as np
import pytest
from conftest import binary, inferred, model_file

import crosspike


def profile_file(folder, name):
    path = folder / f"{name}.toml"
    path.write_text(crosspike.Profile(name).to_toml())
    return path


def same_energy(own, reported):
    """Whether energies are the same to the six decimals of a report, layer by layer."""
    if isinstance(own, dict):
        assert own.keys() == reported.keys()
        for key, value in own.items():
            same_energy(value, reported[key])
    elif isinstance(own, float):
        assert own == pytest.approx(reported, abs=5.1e-7, rel=1e-12)
    else:
        assert own == reported


def same_as_binary(folder, session, model, checkpoint, data, images, labels, chip, *more):
    """Compares logits, counts, energy and what was programmed of a chip."""
    report, logits = inferred(folder, model, checkpoint, data, "--chip", chip, "--seed", session.seed, *more)
    programmed = session.program(chip)
    run = session.run(programmed, images, labels)
    assert np.array_equal(run.logits, logits[0])
    # The report has six decimals.
    assert run.accuracy == pytest.approx(report["accuracy"]["mean"], abs=5.1e-7)
    assert {name: list(steps) for name, steps in run.spikes.items()} == report["spikes"]
    events = report["events"]
    assert list(run.input_pulses) == events["input_pulses"]
    assert (run.adc_clipped, run.adder_saturated) == (events["adc_clipped"], events["adder_saturated"])
    same_energy(run.energy, report["energy"] and report["energy"]["pj_per_image"])
    assert (run.sram_bytes, run.write_pulses) == (report["sram_bytes"], report["write_pulses"])
    out = folder / "chip"
    arguments = ("--model", model, "--checkpoint", checkpoint, "--data", data, "--chip", chip, "--seed", session.seed)
    binary("chip", *arguments, *more, "--out", out, "--tiles", "none")
    weights = np.load(out / "weights.npz")
    for name, layer in programmed.layers.items():
        for what in ("target", "programmed", "residual", "operating", "effective", "companion"):
            own, key = getattr(layer, what), f"{name}.{what}"
            assert (own is None) == (key not in weights), key
            assert own is None or np.array_equal(own, weights[key]), key
        if layer.conductances is not None:
            conductances = np.load(out / "conductances.npz")
            assert np.array_equal(layer.conductances, conductances[f"{name}.operating.plus"])
            assert np.array_equal(layer.conductances_subtracted, conductances[f"{name}.operating.minus"])
            assert np.array_equal(layer.programmed_conductances, conductances[f"{name}.programmed.plus"])
            assert np.array_equal(layer.target_conductances, conductances[f"{name}.target.plus"])
            assert np.array_equal(layer.faults, conductances[f"{name}.faults.plus"])


@pytest.mark.parametrize("name", crosspike.PROFILES)
def test_profiles(name, tmp_path, digits):
    network, out = digits
    profile = profile_file(tmp_path, name)
    session = crosspike.Session(network, profile, crosspike.Dataset("digits"), seed=3)
    model, checkpoint = out / "model.toml", out / "checkpoint.safetensors"
    data = session.data
    same_as_binary(tmp_path, session, model, checkpoint, "digits", data.images(), data.labels, 5, "--profile", profile)


@pytest.mark.parametrize("name", crosspike.MODELS)
def test_models(name, tmp_path):
    steps = crosspike.Model(name).steps
    set = {"steps": min(steps, 3)}
    network = crosspike.Network.fresh(crosspike.Model(name, set), seed=2)
    model, checkpoint = model_file(tmp_path, name, **set), tmp_path / "network.safetensors"
    network.save(checkpoint)
    channels, height, width = network.model.input
    random = np.random.default_rng(1)
    images = random.normal(size=(2, channels, height, width)).astype(np.float32)
    labels = np.arange(2)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    session = crosspike.Session(network, "rram_4bit", images, labels, seed=4)
    profile = profile_file(tmp_path, "rram_4bit")
    data = f"images:{tmp_path / 'data.npz'}"
    same_as_binary(tmp_path, session, model, checkpoint, data, images, labels, 1, "--profile", profile)


def test_sweep_rows(tmp_path, digits):
    _, out = digits
    file = tmp_path / "sweep.toml"
    file.write_text(
        f"""name = "scales"
model = "{out}/model.toml"
checkpoint = "{out}/checkpoint.safetensors"
profile = "{profile_file(tmp_path, "spikesim_65nm")}"
data = "digits"
limit = 60
chips = 3
seed = 2
[grid]
"rram.variation.scale" = [0.0, 1.0]
"sram.bits" = [0, 2]
"""
    )
    binary("sweep", file, "--out", tmp_path / "binary", "--backend", "cpu", "--set", "sram.init=residual")
    study = crosspike.sweep(file, out=tmp_path / "python", set={"sram.init": "residual"}, backend="cpu")
    for table in ("results", "summary", "layers", "components"):
        rows = list(csv.reader((tmp_path / "binary" / f"{table}.csv").open()))
        assert (tmp_path / "binary" / f"{table}.csv").read_bytes() == (
            tmp_path / "python" / f"{table}.csv"
        ).read_bytes()
        frame = getattr(study, table)
        assert frame.columns == rows[0] and len(frame) == len(rows) - 1
        columns = frame.to_dict()
        for number, name in enumerate(rows[0]):
            for row, own in zip(rows[1:], columns[name]):
                if own is None:
                    assert row[number] == ""
                elif isinstance(own, float):
                    assert float(row[number]) == pytest.approx(own, abs=5.1e-7)
                else:
                    assert row[number] == str(own)
    assert "<html" in study.report and "srcdoc" in study._repr_html_()


def test_quickstart_table(tmp_path):
    binary("quickstart", "--out", tmp_path / "binary")
    study = crosspike.quickstart(out=tmp_path / "python")
    for table in ("results.csv", "summary.csv"):
        assert (tmp_path / "binary" / table).read_bytes() == (tmp_path / "python" / table).read_bytes()
    assert len(study.summary) == 17


def test_recipe_rows(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(
        f"""name = "pipeline"
model = "{model_file(tmp_path, "digits")}"
profiles = ["{profile_file(tmp_path, "rram_4bit")}"]
data = "digits"
[evaluate]
chips = 2
limit = 40
[[stage]]
name = "baseline"
[stage.train]
epochs = 1
"""
    )
    binary("recipe", file, "--out", tmp_path / "binary", "--backend", "cpu")
    study = crosspike.recipe(file, out=tmp_path / "python", backend="cpu")
    for table in ("results.csv", "summary.csv", "recovery.md", "recovery.json"):
        assert (tmp_path / "binary" / table).read_bytes() == (tmp_path / "python" / table).read_bytes()
    assert len(study.results) == 2


def test_series_and_chips_of_a_range(digits):
    network, _ = digits
    session = crosspike.Session(network, "rram_4bit", crosspike.Dataset("digits", limit=50))
    series = session.evaluate(range(2, 5))
    assert series.chips == [2, 3, 4] and len(series) == 3
    for chip, run in zip(series.chips, series):
        assert np.array_equal(run.logits, session.run(chip).logits)
    assert series.accuracy.shape == (3,) and series.logits.shape == (3, 50, 10)
    assert series.results.to_dict()["accuracy"] == list(series.accuracy)
    assert np.array_equal(series[-1].logits, series.logits[2])


def test_search(tmp_path, digits):
    _, out = digits
    file = tmp_path / "search.toml"
    file.write_text(
        f"""name = "cheap"
model = "{out}/model.toml"
checkpoint = "{out}/checkpoint.safetensors"
profile = "{profile_file(tmp_path, "spikesim_65nm")}"
data = "digits"
limit = 60
chips = 4
minimise = "energy_pj_per_image"
[constraint]
accuracy = {{ least = 20.0 }}
[space]
"adc.bits" = [3, 4, 5]
"layer.*.sram.bits" = [0, 2]
[validate]
chips = 3
limit = 60
"""
    )
    binary(
        "search",
        file,
        "--out",
        tmp_path / "binary",
        "--backend",
        "cpu",
        "--budget",
        "60",
        "--set",
        "sram.init=residual",
    )
    found = crosspike.search(file, out=tmp_path / "python", set={"sram.init": "residual"}, budget=60, backend="cpu")
    for name in ("summary.csv", "tried.csv", "answer.json", "best.toml"):
        assert (tmp_path / "binary" / name).read_bytes() == (tmp_path / "python" / name).read_bytes(), name
    # A generation of 24 that has begun is finished.
    assert found.is_met and 60 <= found.trials <= 60 + 24 * 4 and found.best["adc.bits"] in ("3", "4", "5")
    assert found.profile.to_toml().count("bits =") and len(found.study.summary) >= 1
    assert found.answer.splitlines()[0].split(":")[0] in repr(found)
    with pytest.raises(ValueError, match="budget"):
        crosspike.search(file, out=tmp_path / "other", budget="long")
