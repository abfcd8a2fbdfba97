//! `crosspike recipe`: stages that start from one another, a cache that makes nothing twice, and the recovery table.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use crosspike::config::Overrides;
use crosspike::study::recipe::Recipe;

fn root(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file).display().to_string()
}

const STAGES: &str = r#"
[[stage]]
name = "baseline"
train = {}

[[stage]]
name = "VAT"
from = "baseline"
train = { variation = true, epochs = 1, learning_rate = 0.03 }

[[stage]]
name = "SRAM"
from = "VAT"
set = { "sram.bits" = 4, "sram.init" = "stage:baseline" }
train = { stage = "sram", variation = true, epochs = 1, learning_rate = 0.03 }

[[stage]]
name = "SRAM, pruned"
from = "VAT"
set = { "sram.bits" = 4 }
train = { stage = "sram", variation = true, epochs = 1, learning_rate = 0.03 }
prune = { lambda = 1e-3 }
grid = { "prune.threshold" = [0.1, 0.4] }

[[stage]]
name = "residual"
from = "baseline"
set = { "sram.init" = "residual", "sram.bits" = 3 }
evaluate = { "sram.shift" = [-2, 0] }

[[stage]]
name = "own"
from = "baseline"
set = { "sram.init" = "zeros", "sram.bits" = 4, "sram.shift" = -2 }
train = { stage = "sram", epochs = 1, learning_rate = 0.03 }
own_chips = 2
"#;

fn head() -> String {
    format!(
        "name = \"r\"\nmodel = \"{}\"\ndata = \"digits\"\nprofiles = [\"{}\", \"{}\"]\nseed = 3\n\
         [train]\nepochs = 2\nbatch = 32\nlimit = 320\n\
         [evaluate]\nlimit = 60\nchips = 3\n[evaluate.grid]\n\"rram.variation.scale\" = [0.0, 2.0]\n\
         [final]\nstages = [\"baseline\", \"SRAM\"]\nlimit = 90\nchips = 2\n",
        root("models/digits.toml"),
        root("hw_profiles/rram_2bit.toml"),
        root("hw_profiles/rram_4bit.toml")
    )
}

fn crosspike(folder: &Path, words: &str) -> Output {
    let mut command = Command::cargo_bin("crosspike").unwrap();
    command.current_dir(folder).args(words.split_whitespace()).output().unwrap()
}

fn succeeds(folder: &Path, words: &str) -> (String, String) {
    let output = crosspike(folder, words);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{words}: {err}");
    (out, err)
}

/// The cells of a CSV file by its header's names.
fn rows(path: &Path) -> Vec<std::collections::HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn a_recipe_runs_once_resumes_and_tells_what_is_won_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), head() + STAGES).unwrap();
    let looks = || succeeds(at, "recipe r.toml --out run --backend cpu --dry-run").0;
    let before = looks();
    // A chip where nothing varies and three at scale 2, of seven variants; of each of two chips' own one; of two final
    // stages two at scale 2.
    let trials = 2 * (7 * (1 + 3) + 2 * (1 + 1) + 2 * (1 + 2));
    let expected = [
        "14 trainings, 0 of them there; 14 to run, about ".to_owned(),
        format!("{trials} trials, 0 of them there; {trials} to run, about "),
    ];
    assert!(before.lines().zip(&expected).all(|(line, expected)| line.starts_with(expected)), "{before}");
    assert!(!at.join("run").exists());
    let (table, log) = succeeds(at, "recipe r.toml --out run --backend cpu");
    // Trained: baseline, VAT, SRAM, two pruned ones and two chips' own, each on two profiles; an epoch each, the first
    // two.
    assert_eq!(log.lines().filter(|line| line.starts_with("epoch ")).count(), 2 * (2 + 6), "{log}");
    assert!(table.contains("| 4 | SRAM, pruned, prune.threshold = 0.4 | 4 | 0 |"), "{table}");
    let after = looks();
    assert!(after.starts_with("14 trainings, 14 of them there; nothing to run\n"), "{after}");
    assert!(after.contains(&format!("{trials} trials, {trials} of them there; nothing to run\n")), "{after}");

    let summary = rows(&at.join("run/summary.csv"));
    // Seven variants with two scales, the residual at two shifts more, and two final stages; on two profiles.
    assert_eq!(summary.len(), 2 * ((6 + 2) * 2 + 2 * 2));
    let find = |stage: &str, scale: &str, also: &[(&str, &str)]| {
        let is = |row: &&std::collections::HashMap<String, String>| {
            let wanted =
                [("stage", stage), ("rram.variation.scale", scale), ("rram.weight_bits", "4"), ("images", "60")];
            wanted.iter().chain(also).all(|(key, value)| row[*key] == *value)
        };
        let found: Vec<_> = summary.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{stage} at {scale}: {summary:?}");
        found[0]
    };
    let number = |row: &std::collections::HashMap<String, String>, key: &str| row[key].parse::<f64>().unwrap();
    let (nominal, varied) = (find("baseline", "0.0", &[]), find("baseline", "2.0", &[]));
    assert_eq!((number(nominal, "points_regained"), number(varied, "points_regained")), (0.0, 0.0));
    assert_eq!(number(nominal, "points_below_reference_without_variation"), 0.0);
    let lost = number(nominal, "accuracy_mean") - number(varied, "accuracy_mean");
    assert!((number(varied, "points_below_reference_without_variation") - lost).abs() < 1e-5);
    for stage in ["SRAM", "VAT"] {
        let row = find(stage, "2.0", &[]);
        let gain = number(row, "accuracy_mean") - number(varied, "accuracy_mean");
        assert!((number(row, "points_regained") - gain).abs() < 1e-5, "{stage}");
    }
    // 4 bits beside 4 bits: as many bytes; fewer where elements are pruned.
    let whole = find("SRAM", "2.0", &[]);
    assert_eq!(number(whole, "share_of_rram_bytes_percent"), 100.0);
    let pruned = |threshold: &str| find("SRAM, pruned", "2.0", &[("prune.threshold", threshold)]);
    assert!(number(pruned("0.4"), "sparsity_percent") > number(pruned("0.1"), "sparsity_percent"));
    assert!(number(pruned("0.4"), "sram_bytes") < number(whole, "sram_bytes"));
    let fine = find("residual", "2.0", &[("sram.shift", "-2")]);
    assert!(number(fine, "accuracy_mean") > number(varied, "accuracy_mean") + 3.0);
    assert_eq!(number(find("own", "2.0", &[]), "chips"), 2.0);
    let page = fs::read_to_string(at.join("run/report.html")).unwrap();
    assert!(page.contains("<svg"));
    // Every cell of the table to read stands on the page, but for the bits that all lines share.
    let table = fs::read_to_string(at.join("run/recovery.md")).unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| "));
    let cells = lines.flat_map(|line| line.trim_matches('|').split(" | ").skip(1));
    let cells: Vec<String> =
        cells.map(|cell| cell.trim().replace(" ± ", "\u{a0}±\u{a0}").replace('\'', "&#39;")).collect();
    assert!(cells.len() > 50);
    for cell in cells {
        assert!(page.contains(&format!(">{cell}</t")), "{cell}");
    }

    // Asked for once more, it takes all from the cache and writes the same bytes.
    let read = |run: &str| {
        ["results.csv", "summary.csv", "recovery.md", "recovery.json"].map(|f| fs::read(at.join(run).join(f)).unwrap())
    };
    let first = read("run");
    assert_eq!(
        crosspike(at, "recipe r.toml --out run --backend cpu").status.code(),
        Some(2),
        "finished, not overwritten"
    );
    let (_, log) = succeeds(at, "recipe r.toml --out run --backend cpu --force");
    assert!(!log.contains("epoch ") && read("run") == first, "{log}");

    // A checkpoint that something has written over is not taken for what was trained.
    let trained =
        fs::read_dir(at.join("run/cache")).unwrap().map(|entry| entry.unwrap().path().join("checkpoint.safetensors"));
    let spoiled = trained.filter(|path| path.exists()).min().unwrap();
    let mut bytes = fs::read(&spoiled).unwrap();
    let last = bytes.len() - 9;
    bytes[last..].fill(0x3f);
    fs::write(&spoiled, bytes).unwrap();
    let (_, log) = succeeds(at, "recipe r.toml --out run --backend cpu --force");
    assert!(log.contains("is not what was trained: it is trained anew") && log.contains("epoch "), "{log}");
    assert!(read("run") == first);

    // A changed stage runs, the others do not.
    let (_, log) =
        succeeds(at, "recipe r.toml --out run --backend cpu --force --set train.momentum=0.9 --set evaluate.chips=4");
    assert!(!log.contains("epoch "), "momentum is the default, chips are no training: {log}");
    fs::write(at.join("r.toml"), head() + &STAGES.replace("lambda = 1e-3", "lambda = 2e-3")).unwrap();
    let (_, log) = succeeds(at, "recipe r.toml --out run --backend cpu --force");
    assert_eq!(log.lines().filter(|line| line.starts_with("epoch ")).count(), 2 * 2, "{log}");

    // Killed after its first stage, it goes on and ends in the same bytes.
    fs::write(at.join("r.toml"), head() + STAGES).unwrap();
    let mut process = std::process::Command::new(assert_cmd::cargo::cargo_bin("crosspike"))
        .current_dir(at)
        .args("recipe r.toml --out killed --backend cpu".split_whitespace())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !at.join("killed/cache").exists() || fs::read_dir(at.join("killed/cache")).unwrap().count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(process.try_wait().unwrap().is_none(), "it is still running");
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!at.join("killed/summary.csv").exists());
    succeeds(at, "recipe r.toml --out killed --backend cpu");
    assert!(read("killed") == first);
}

/// Two stages, of which variation and converters have no effect on the first, which is the reference.
const OFF_RRAM: &str = r#"
name = "r"
model = "MODEL"
data = "digits"
profiles = ["PROFILE"]
reference = "digital"
[train]
epochs = 1
limit = 160
[evaluate]
limit = 20
chips = 2
[evaluate.grid]
"rram.variation.scale" = [1.0, 2.0]
"adc.bits" = [5, 6]

[[stage]]
name = "digital"
set = { "rram.layers" = "none" }
train = {}
save = "digital.safetensors"

[[stage]]
name = "on RRAM"
from = "digital"
set = { "rram.layers" = "all" }
"#;

fn off_rram() -> String {
    OFF_RRAM.replace("MODEL", &root("models/digits.toml")).replace("PROFILE", &root("hw_profiles/spikesim_65nm.toml"))
}

#[test]
fn a_key_without_effect_on_a_stage_stands_blank_and_its_point_below_all_values() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), off_rram()).unwrap();
    let (looks, _) = succeeds(at, "recipe r.toml --out run --backend cpu --dry-run");
    // One chip that does not vary, and two at each of four points.
    assert!(looks.contains("9 trials, 0 of them there"), "{looks}");
    succeeds(at, "recipe r.toml --out run --backend cpu");
    let summary = rows(&at.join("run/summary.csv"));
    assert_eq!(summary.len(), 5, "{summary:?}");
    let digital = &summary[0];
    assert_eq!((digital["rram.variation.scale"].as_str(), digital["adc.bits"].as_str()), ("", ""));
    for row in &summary[1..] {
        // The reference stands for all values of what has no effect on it.
        let gain = row["accuracy_mean"].parse::<f64>().unwrap() - digital["accuracy_mean"].parse::<f64>().unwrap();
        assert!((row["points_regained"].parse::<f64>().unwrap() - gain).abs() < 1e-5, "{row:?}");
    }
    let table = fs::read_to_string(at.join("run/recovery.md")).unwrap();
    let line = table.lines().find(|line| line.contains("| digital |")).unwrap();
    let cells: Vec<&str> = line.trim_matches('|').rsplit('|').map(str::trim).take(4).collect();
    assert!(!cells[0].is_empty() && cells.iter().all(|cell| *cell == cells[0]), "{table}");
}

#[test]
fn profiles_of_the_same_bits_have_lines_of_their_own_and_variants_their_own_reference() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("other.toml"), "name = \"other\"\n[rram]\nweight_bits = 4\nlayers = \"all\"\n").unwrap();
    let profiles = format!("profiles = [\"{}\", \"other.toml\"]", root("hw_profiles/rram_4bit.toml"));
    let text = off_rram();
    let line = text.lines().find(|line| line.starts_with("profiles")).unwrap();
    let text = text.replace(line, &profiles).replace("\"adc.bits\" = [5, 6]\n", "");
    let text =
        text.replace("save = \"digital.safetensors\"\n", "grid = { \"rram.scheme\" = [\"uniform\", \"dorefa\"] }\n");
    let text = text.replace("set = { \"rram.layers\" = \"none\" }", "");
    let (head, _) = text.split_once("\n[[stage]]\nname = \"on RRAM\"").unwrap();
    fs::write(at.join("r.toml"), head).unwrap();
    succeeds(at, "recipe r.toml --out run --backend cpu");
    let table = fs::read_to_string(at.join("run/recovery.md")).unwrap();
    for profile in ["rram-4bit", "other"] {
        assert_eq!(table.matches(&format!("digital, profile = {profile}")).count(), 2, "{table}");
    }
    // On the profile without variation the scale is blank, and each row is compared with the first variant there.
    let summary = rows(&at.join("run/summary.csv"));
    assert_eq!(summary.iter().filter(|row| row["rram.variation.scale"].is_empty()).count(), 2, "{summary:?}");
    assert_eq!(summary.iter().filter(|row| row["points_regained"] == "0").count(), 3, "{summary:?}");
    let once = fs::read(at.join("run/summary.csv")).unwrap();
    succeeds(at, "recipe r.toml --out run --backend cpu --force");
    assert_eq!(fs::read(at.join("run/summary.csv")).unwrap(), once);
}

#[test]
fn shipped_models_and_networks_of_stages_go_together_and_idle_defaults_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let model = root("models/digits.toml");
    let (own, shipped) = (head() + STAGES, head().replace(&model, "crosspike:models/digits.toml") + STAGES);
    for (name, text) in [("own.toml", own), ("shipped.toml", shipped)] {
        fs::write(folder.path().join(name), text).unwrap();
        Recipe::read(&folder.path().join(name), &Overrides::default()).unwrap();
    }
    // A default that changes nothing is said; one that takes away what the profile has is not.
    let idle =
        off_rram().replace("{ \"rram.layers\" = \"all\" }", "{ \"sram.threshold\" = 0.0, \"adc.range\" = \"full\" }");
    fs::write(folder.path().join("idle.toml"), idle.replace("\"adc.bits\" = [5, 6]", "")).unwrap();
    let recipe = Recipe::read(&folder.path().join("idle.toml"), &Overrides::default()).unwrap();
    let of_stage: Vec<&String> = recipe.notices().iter().filter(|notice| notice.contains("stage `on RRAM`")).collect();
    assert!(of_stage.len() == 1 && of_stage[0].contains("sram.threshold"), "{of_stage:?}");
}

#[test]
fn a_saved_network_is_the_one_that_was_trained_and_goes_with_its_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), off_rram()).unwrap();
    succeeds(at, "recipe r.toml --out run --backend cpu");
    let cached = fs::read_dir(at.join("run/cache")).unwrap().map(|entry| entry.unwrap().path());
    let cached: Vec<_> = cached.map(|path| path.join("checkpoint.safetensors")).filter(|path| path.exists()).collect();
    assert_eq!(cached.len(), 1);
    let saved = at.join("run/digital.safetensors");
    assert_eq!(fs::read(&saved).unwrap(), fs::read(&cached[0]).unwrap());
    // The file of another recipe is taken away with its tables.
    fs::write(at.join("r.toml"), off_rram().replace("digital.safetensors", "other.safetensors")).unwrap();
    succeeds(at, "recipe r.toml --out run --backend cpu --force");
    assert!(!saved.exists() && at.join("run/other.safetensors").exists());
    for (name, expected) in [
        ("../digital.safetensors", "without a folder"),
        ("digital.pt", "ends in .safetensors"),
        (".safetensors", "ends in .safetensors"),
    ] {
        fs::write(at.join("r.toml"), off_rram().replace("digital.safetensors", name)).unwrap();
        let refused = crosspike(at, "recipe r.toml --out run --backend cpu --force");
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && text.contains(expected) && text.contains("r.toml:"), "{text}");
    }
    // What the command reads is not taken away, and neither is what another wrote.
    let input =
        off_rram().replace("train = {}\nsave = \"digital.safetensors\"", "checkpoint = \"run/other.safetensors\"");
    fs::write(at.join("r.toml"), input).unwrap();
    let refused = crosspike(at, "recipe r.toml --out run --backend cpu --force");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && text.contains("which the command reads"), "{text}");
    assert!(at.join("run/other.safetensors").exists());
    let untrained = off_rram().replace("from = \"digital\"", "from = \"digital\"\nsave = \"same.safetensors\"");
    fs::write(at.join("r.toml"), untrained).unwrap();
    let refused = crosspike(at, "recipe r.toml --out run --backend cpu --force");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a stage that trains nothing"));
}

#[test]
fn what_does_not_fit_together_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let first = head().lines().count();
    for (from, to, line, expected) in [
        (
            "from = \"VAT\"",
            "from = \"VTA\"",
            13,
            "`VTA` is no stage before this one; expected one of `baseline`, `VAT`",
        ),
        ("name = \"VAT\"", "name = \"baseline\"", 7, "names a stage before"),
        ("train = {}", "", 2, "expected it, `from` or `checkpoint`"),
        ("\"sram.bits\" = 4, \"sram.init\"", "\"sram.bist\" = 4, \"sram.init\"", 14, "sram.bist"),
        (
            "\"sram.bits\" = 4, \"sram.init\"",
            "\"sram.bits\" = 40, \"sram.init\"",
            14,
            "40, expected 0 (none) to 16 bits",
        ),
        ("variation = true, epochs = 1,", "variation = true, epoch = 1,", 9, "unknown field `epoch`"),
        ("prune = { lambda = 1e-3 }", "prune = { lambda = -1.0 }", 22, "expected a number of at least 0"),
        ("\"prune.threshold\" = [0.1, 0.4]", "\"prune.threshold\" = [0.1, 4.0]", 23, "4, expected a share"),
        ("own_chips = 2", "own_chip = 2", 36, "unknown field `own_chip`"),
        (
            "train = { stage = \"sram\", epochs = 1, learning_rate = 0.03 }",
            "train = { stage = \"sram\", seed = 4 }",
            36,
            "expected no seed",
        ),
        ("set = { \"sram.bits\" = 4 }", "set = { \"sram.bits\" = 4, \"train.epochs\" = 4 }", 20, "train"),
        ("evaluate = { \"sram.shift\" = [-2, 0] }", "evaluate = { \"sram.shift\" = [-2, -20] }", 29, "expected −16"),
        (
            "evaluate = { \"sram.shift\" = [-2, 0] }",
            "evaluate = { \"rram.variation.scale\" = [1, 3] }",
            29,
            "is set by [evaluate.grid], too",
        ),
        (
            "set = { \"sram.init\" = \"residual\", \"sram.bits\" = 3 }",
            "set = { \"sram.init\" = \"residual\", \"sram.bits\" = 3, \"sram.shift\" = 1 }",
            28,
            "is set by its `evaluate`, too",
        ),
        (
            "\"prune.threshold\" = [0.1, 0.4]",
            "\"rram.variation.scale\" = [1.0, 3.0]",
            23,
            "is set by [evaluate.grid], too",
        ),
        ("train = {}", "train = {}\nsave = \"b.safetensors\"", 5, "names one file, and the stage trains several"),
        (
            "evaluate = { \"sram.shift\" = [-2, 0] }",
            "adapt = { batches = 9999 }",
            29,
            "expected fewer or smaller batches",
        ),
    ] {
        let stages = STAGES.replacen(from, to, 1);
        assert_ne!(stages, STAGES, "{from}");
        fs::write(at.join("r.toml"), head() + &stages).unwrap();
        let error = match Recipe::read(&at.join("r.toml"), &Overrides::default()) {
            Ok(_) => panic!("{to} is accepted"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(expected), "{to}: {error}");
        let line = format!("r.toml:{}", first + line);
        assert!(error.contains(&line), "{to}: expected {line} in {error}");
    }
    fs::write(at.join("r.toml"), head().replace("\"SRAM\"]", "\"RAM\"]") + STAGES).unwrap();
    let error = crosspike(at, "recipe r.toml --out run");
    let text = String::from_utf8_lossy(&error.stderr).into_owned();
    assert!(error.status.code() == Some(2) && text.contains("final.stages: `RAM` is no evaluated stage"), "{text}");
    assert!(!at.join("run").exists());
}

#[test]
fn checkpoints_of_the_published_layout_start_any_stage() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let golden = root("tests/golden/bntt");
    // PyTorch's own files: a baseline, and a hybrid with `WR`.
    let recipe = format!(
        r#"
name = "import"
model = "{golden}/model.toml"
data = "frames:{golden}/train_frames.npz"
test = "frames:{golden}/frames.npz"
profiles = ["{profile}"]
[train]
epochs = 1
batch = 4
learning_rate = 0.01
[evaluate]
chips = 2
[evaluate.grid]
"rram.variation.scale" = [0.0, 1.0]

[[stage]]
name = "baseline"
checkpoint = "{golden}/checkpoint.pth.tar"

[[stage]]
name = "VAT"
from = "baseline"
train = {{ variation = true }}

[[stage]]
name = "SRAM"
from = "VAT"
set = {{ "sram.bits" = 2, "sram.init" = "checkpoint:{golden}/checkpoint.safetensors" }}
train = {{ stage = "sram", variation = true }}

[[stage]]
name = "hybrid"
checkpoint = "{golden}/hybrid.pth.tar"
set = {{ "sram.bits" = 2, "sram.shift" = 2 }}

[[stage]]
name = "hybrid, trained on and pruned"
from = "hybrid"
set = {{ "sram.bits" = 2, "sram.shift" = 2 }}
train = {{ stage = "sram", variation = true }}
prune = {{ threshold = 0.2 }}

[[stage]]
name = "residual"
from = "baseline"
set = {{ "sram.bits" = 2, "sram.init" = "residual" }}
"#,
        profile = root("hw_profiles/rram_4bit.toml")
    );
    fs::write(at.join("r.toml"), recipe).unwrap();
    let (_, log) = succeeds(at, "recipe r.toml --out run --backend cpu");
    assert_eq!(log.lines().filter(|line| line.starts_with("epoch ")).count(), 3, "{log}");
    let summary = rows(&at.join("run/summary.csv"));
    assert_eq!(summary.len(), 6 * 2);
    // What PyTorch computed of the same files on the same frames, without variation.
    for (stage, logits) in [("baseline", "logits.frames.bits4"), ("hybrid", "logits.hybrid.r4s2.shift2")] {
        let expected = accuracy(&golden, logits);
        let row = summary.iter().find(|row| row["stage"] == stage && row["rram.variation.scale"] == "0.0").unwrap();
        assert!((row["accuracy_mean"].parse::<f64>().unwrap() - expected).abs() < 1e-5, "{stage}: {row:?}");
    }
}

/// Percent of the golden frames that golden logits classify correctly.
fn accuracy(golden: &str, logits: &str) -> f64 {
    let read = |file: &str| ndarray_npy::NpzReader::new(fs::File::open(format!("{golden}/{file}")).unwrap()).unwrap();
    let logits: ndarray::Array2<f32> = read("expected.npz").by_name(logits).unwrap();
    let labels: ndarray::Array1<i64> = read("frames.npz").by_name("labels").unwrap();
    let best =
        |row: ndarray::ArrayView1<f32>| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as i64;
    let right = logits.outer_iter().zip(&labels).filter(|(row, label)| best(*row) == **label).count();
    100.0 * right as f64 / labels.len() as f64
}

#[test]
fn stages_are_compared_under_attack() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let stages = &STAGES[..STAGES.find("[[stage]]\nname = \"SRAM\"").unwrap()];
    let head = head().replace("epochs = 2", "epochs = 6").replace("limit = 320", "limit = 1000");
    let head = head.split("[final]").next().unwrap().replace("[0.0, 2.0]", "[1.0]");
    let attack = "[evaluate.attack]\nmethod = \"fgsm\"\nepsilon = [0.0, 0.1]\n";
    fs::write(at.join("r.toml"), format!("{head}{attack}{stages}")).unwrap();
    succeeds(at, "recipe r.toml --out run --backend cpu");
    fs::write(at.join("p.toml"), format!("{head}{stages}")).unwrap();
    succeeds(at, "recipe p.toml --out plain --backend cpu");
    let (attacked, plain) = (rows(&at.join("run/summary.csv")), rows(&at.join("plain/summary.csv")));
    assert_eq!((attacked.len(), plain.len()), (2 * 2 * 2, 2 * 2));
    for row in &plain {
        let find = |epsilon: &str| {
            let same = |other: &&std::collections::HashMap<String, String>| {
                ["stage", "rram.weight_bits"].iter().all(|key| other[*key] == row[*key])
                    && other["attack.epsilon"] == epsilon
            };
            attacked.iter().find(same).unwrap()["accuracy_mean"].parse::<f64>().unwrap()
        };
        let clean = row["accuracy_mean"].parse::<f64>().unwrap();
        assert_eq!(find("0"), clean, "{row:?}");
        assert!(find("0.1") < clean - 5.0, "{} of {clean}", find("0.1"));
    }
    let refused = stages.replacen("train = {}", "train = {}\nexit = \"confidence:0.9\"", 1);
    fs::write(at.join("r.toml"), format!("{head}{attack}{refused}")).unwrap();
    let error = crosspike(at, "recipe r.toml --out other");
    let text = String::from_utf8_lossy(&error.stderr).into_owned();
    assert!(error.status.code() == Some(2) && text.contains("exit: is not modelled under an attack"), "{text}");
}
