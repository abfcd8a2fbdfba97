"""Profiles from measured devices."""

import numpy as np
import pandas
import pytest

import crosspike
from conftest import binary


def devices(count=4000):
    rng = np.random.default_rng(3)
    target = rng.choice([5.0, 12.0, 20.0, 33.0], count)
    return {"target_us": target, "read_us": target * np.exp(rng.normal(0.0, 0.15, count))}


def test_a_fit_is_that_of_the_command_line(tmp_path):
    columns = devices()
    file = tmp_path / "wafer.csv"
    pandas.DataFrame(columns).to_csv(file, index=False)
    binary("fit", file, "--out", tmp_path / "wafer.toml")
    fit = crosspike.Fit(file)
    assert fit.to_toml() == (tmp_path / "wafer.toml").read_text()
    assert crosspike.Fit(columns, source="wafer.csv").to_toml() == fit.to_toml()
    laws = fit.laws.to_pandas()
    assert laws["kind"][0] == "lognormal" and abs(float(laws["values"][0]) - 0.15) < 0.005
    assert (laws["bic"].diff().dropna() >= 0).all()


def test_the_profile_runs():
    fit = crosspike.Fit(devices())
    profile = fit.profile()
    assert profile.to_dict()["rram"]["cell"]["levels_us"] == [5.0, 12.0, 20.0, 33.0]
    assert fit.profile("gaussian").to_dict()["rram"]["variation"]["kind"] == "gaussian"
    network = crosspike.Network.fresh("digits", seed=1)
    profile = profile.replace({"rram.weight_bits": 3, "rram.layers": "all"})
    session = crosspike.Session(network, profile, crosspike.Dataset("digits", limit=20))
    held = session.program(0)["conv1"].conductances
    assert held.min() > 0 and fit.to_svg().startswith("<svg") and fit._repr_svg_() == fit.to_svg()
    assert fit.drift is None and fit.read is None


def test_time_and_repeated_reads():
    target = np.repeat([10.0, 30.0], 200)
    device = np.arange(400)
    rng = np.random.default_rng(1)
    landed = target * (1 + rng.normal(0, 0.05, 400))
    reads = [landed * (1 + rng.normal(0, 0.01, 400)) for _ in range(2)] + [landed * 1000.0**-0.04]
    columns = {
        "target_us": np.tile(target, 3),
        "read_us": np.concatenate(reads),
        "time_s": np.repeat([1.0, 1.0, 1000.0], 400),
        "device": np.tile(device, 3),
    }
    fit = crosspike.Fit(columns)
    assert abs(fit.read["sigma"] - 0.01) < 0.001 and fit.read["is_relative"]
    assert abs(fit.drift["nu"] - 0.04) < 0.001 and fit.drift["retention_sigma"] is None


def test_what_says_nothing_is_refused():
    for columns, error, words in [
        ({"target_us": np.ones(20)}, KeyError, "read_us is missing"),
        ({**devices(20), "colour": np.ones(20)}, KeyError, "colour"),
        ({**devices(20), "time_s": np.ones(3)}, ValueError, "time_s has 3 values"),
        ({**devices(20), "read_us": np.full(20, np.nan)}, ValueError, r"read_us\[0\] is NaN"),
        (devices(3), crosspike.MismatchError, "3 reads are too few"),
    ]:
        with pytest.raises(error, match=words):
            crosspike.Fit(columns)
    with pytest.raises(ValueError, match="kind"):
        crosspike.Fit(devices(40)).profile("normal")
