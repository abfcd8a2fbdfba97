//! `crosspike fit` from the command line: reads of devices become a profile that runs.

mod common;

use common::command::{crosspike, succeeds};

/// A CSV file of devices at five levels, each landing a few percent beside its target, read again a day later.
fn measurements() -> String {
    let mut text = String::from("# wafer 7\ntarget_us, read_us, time_s, device\n");
    for device in 0..400 {
        let target = [4.0, 12.0, 20.0, 28.0, 36.0][device % 5];
        // Twenty deviations from -0.19 to 0.19, none of them preferred.
        let landed = target * (0.02 * ((device / 5 % 20) as f64 - 9.5)).exp();
        text += &format!("{target},{landed},1,d{device}\n{target},{},86400,d{device}\n", landed * 86400f64.powf(-0.02));
    }
    text
}

#[test]
fn devices_become_a_profile_that_is_valid_and_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("wafer7.csv"), measurements()).unwrap();
    let text = succeeds(folder, "fit wafer7.csv --out wafer7.toml --svg wafer7.svg --json fit.json");
    assert!(text.starts_with("wafer7.csv: 800 reads of 400 devices, 5 targets"), "{text}");
    assert!(
        text.contains("drift: ν 0.0200 ± 0.0000, retention σ unknown, of 400 devices from 1 s to 86400 s"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("fit.json")).unwrap()).unwrap();
    let best = &json["laws"][0];
    // √mean((0.02·(i − 9.5))²) of i from 0 to 19 is 0.02·√33.25.
    assert_eq!(best["kind"], "lognormal", "{json}");
    assert!((best["values"][0].as_f64().unwrap() - 0.02 * 33.25f64.sqrt()).abs() < 1e-6, "{best}");
    assert!((json["drift"]["nu"].as_f64().unwrap() - 0.02).abs() < 1e-9);
    let profile = std::fs::read_to_string(folder.join("wafer7.toml")).unwrap();
    for line in [
        "g_max_us = 36.0",
        "g_min_us = 4.0",
        "kind = \"lognormal\"",
        "sigma = 0.115326",
        "nu = 0.02",
        "reference_s = 1.0",
    ] {
        assert!(profile.contains(line), "{line}: {profile}");
    }
    succeeds(folder, "check wafer7.toml");
    let svg = std::fs::read_to_string(folder.join("wafer7.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("lognormal (sigma)"), "{svg}");
    let refused = crosspike(folder, "fit wafer7.csv --out wafer7.toml");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("wafer7.toml exists; use --force to overwrite it"));
    let table = succeeds(folder, "fit wafer7.csv --out wafer7.toml --kind table --force");
    assert!(
        table.contains("wrote wafer7.toml")
            && std::fs::read_to_string(folder.join("wafer7.toml")).unwrap().contains("table = [")
    );
    succeeds(folder, "check wafer7.toml");
    let unknown = crosspike(folder, "fit wafer7.csv --kind normal");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("expected one of lognormal, gaussian"));
    std::fs::write(folder.join("unnamed.csv"), measurements().replace("d7\n", "\n")).unwrap();
    let unnamed = crosspike(folder, "fit unnamed.csv");
    let said = String::from_utf8_lossy(&unnamed.stderr).into_owned();
    assert!(said.contains("unnamed.csv: line 17: device is empty; expected a name"), "{said}");
}
