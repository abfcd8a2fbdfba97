//! Contract: the page says in words and in a picture what the tables hold, shows every text as text, and refuses tables
//! that it would misread.

use std::fs;
use std::path::Path;

use super::write;

const METRICS: &str = "chips,accuracy_mean,accuracy_std,accuracy_ci95,accuracy_min,accuracy_max,spikes_per_image";

/// Makes a result folder of `(file, content)` and returns its page and its chart.
fn report(files: &[(&str, &str)]) -> Result<(String, String), String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let page = write(folder.path()).map_err(|error| error.to_string())?;
    assert_eq!(page, folder.path().join("report.html"));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    Ok((read(&page), read(&folder.path().join("accuracy.svg"))))
}

fn summary(settings: &str, rows: &str) -> String {
    format!("{settings}{METRICS}\n{rows}")
}

#[test]
fn variation_is_answered_series_by_series() {
    let table = summary(
        "stage,rram.variation.scale,sram.shift,",
        "float,,,1,92,,,92,92,4000\n\
         hybrid,0,-1,20,90,0.5,0.2,89,91,4000\nhybrid,2,-1,20,80,1,0.4,78,82,4100\n\
         hybrid,0,1,20,89,0.5,0.2,88,90,4000\nhybrid,2,1,20,86.5,1,0.4,84,88,4100\n",
    );
    let results = "stage,rram.variation.scale,sram.shift,chip,accuracy,spikes_per_image\n\
                   hybrid,2,1,0,84,4100\nhybrid,2,1,1,88,4100\n";
    let (page, svg) = report(&[("summary.csv", &table), ("results.csv", results)]).unwrap();
    for expected in [
        "At the largest RRAM variation scale, 2, sram.shift = 1 is best: 86.50 %",
        "Next is sram.shift = -1 with 80.00 %; their confidence intervals do not overlap",
        "sram.shift = 1 loses 2.50 points of accuracy (89.00 → 86.50 %)",
        "sram.shift = -1 loses 10.00 points of accuracy (90.00 → 80.00 %)",
        "For reference, float: 92.00 %",
        "role=\"img\"",
        "All points; accuracy is the mean over chips",
        "scope=\"row\"",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert_eq!(svg.matches("<polyline").count(), 2, "a line per series");
    assert_eq!(svg.matches("<circle").count(), 2, "a dot per chip");
    assert_eq!(svg.matches("stroke-dasharray=\"7 5\"").count(), 1, "the reference");
    assert!(!svg.contains("var("), "the file of its own has its own colours");
    assert!(
        page.matches("<script").count() == 2 && !page.contains("src="),
        "one script with its data, and nothing is loaded"
    );
}

#[test]
fn drawn_points_are_compared_one_by_one() {
    // These are points as a sample draws them: no two share a value, and the largest variation is one point like any
    // other.
    let rows = "9.01,8,2,10,1,2,9,11,500,30\n0.12,7,2,90,1,2,89,91,500,20\n0.5,3,2,89.8,1,2,88,91,500,10\n2.2,4,2,60,1,2,58,62,500,15\n";
    let table = format!("rram.variation.scale,adc.bits,{METRICS},sram_bytes\n{rows}");
    let (page, svg) = report(&[("summary.csv", &table)]).unwrap();
    for expected in [
        "Mean accuracy is highest with rram.variation.scale = 0.12, adc.bits = 7: 90.00 %",
        "the least SRAM is 10 bytes, with rram.variation.scale = 0.5, adc.bits = 3",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert_eq!(svg.matches("<polyline").count(), 0, "no line joins them");
    let places: Vec<usize> =
        ["0.12", "0.5,", "2.2", "9.01"].map(|scale| svg.rfind(&format!("scale = {scale}")).unwrap()).into();
    assert!(places.is_sorted(), "the best stands first: {places:?}");
}

#[test]
fn a_line_beside_a_reference_and_a_drawn_grid_are_told_apart() {
    let row = |settings: &str, mean: f64| format!("{settings},2,{mean},1,2,{mean},{mean},500\n");
    let lines = [row("0,1", 50.0), row("2,-2", 60.0), row("2,-1", 70.0), row("2,0", 80.0)].concat();
    let (_, svg) = report(&[("summary.csv", &format!("sram.bits,sram.shift,{METRICS}\n{lines}"))]).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 2, "one width, and the shifts of the other");
    // A sample of the scale and of sigma at each of two widths: nothing shares a scale but its twin.
    let drawn = [("0.1,0.3", 95.0), ("2.5,0.2", 60.0), ("1.1,0.7", 80.0)];
    let both =
        drawn.iter().flat_map(|(at, mean)| [row(&format!("0,{at}"), *mean), row(&format!("2,{at}"), mean + 1.0)]);
    let table = format!("sram.bits,rram.variation.scale,rram.variation.sigma,{METRICS}\n{}", both.collect::<String>());
    let (page, svg) = report(&[("summary.csv", &table)]).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 3, "a line from width to width for each of the sample");
    assert!(page.contains("sram.bits = 2: 96.00 %") && !page.contains("At the largest"), "{page}");
}

#[test]
fn the_table_of_a_pipeline_is_not_that_of_a_sweep() {
    let table = summary("adc.bits,", "4,2,70,1,2,69,71,500\n8,2,80,1,2,79,81,500\n");
    let recovery = r#"[{"images": 7, "chips": [2, 2], "columns": [[]], "lines": [{"head": {"rram_bits": 4,
        "stage": "left over", "settings": [], "sram_bits": "", "sram_shift": "", "pruned_percent": null},
        "sram_bytes": 0, "share_of_rram_bytes_percent": null, "accuracies": [null]}]}]"#;
    for (command, shown) in [("recipe", true), ("sweep", false)] {
        let origin = format!("{{\"command\": \"{command}\", \"configuration\": {{}}}}");
        let files = [("summary.csv", table.as_str()), ("recovery.json", recovery), ("origin.json", &origin)];
        assert_eq!(report(&files).unwrap().0.contains("left over"), shown, "{command}");
    }
    let spoiled = report(&[("summary.csv", &table), ("recovery.json", "[{}]")]).unwrap_err();
    assert!(spoiled.contains("recovery.json: expected the tables of a recipe: missing field `images`"), "{spoiled}");
    // The table of an earlier version has no rows to draw.
    let (page, _) = report(&[("summary.csv", &table), ("recovery.md", "| a |")]).unwrap();
    assert!(page.contains("recovery.md is of an earlier version"), "{page}");
}

#[test]
fn what_ran_is_named_but_for_what_differs() {
    let table = summary("checkpoint,", "a,2,70,1,2,69,71,500\nb,2,80,1,2,79,81,500\n");
    let page = |points: &str| {
        let origin = format!(
            r#"{{"command": "sweep", "configuration": {{"model": {{"name": "a <b>"}}, "profile": {{"name": "p"}},
                "checkpoint_sha256": "0123456789abcdef", "data": "x & y", "images": 9, "chips": 1, "seed": 4,
                "points": {points}}}}}"#
        );
        report(&[("summary.csv", &table), ("origin.json", &origin)]).unwrap().0
    };
    let all = "What ran: network <b>a &lt;b&gt;</b> (checkpoint 0123456789ab); hardware <b>p</b>; data x &amp; y; 9 \
               images; 1 chip; seed 4.";
    assert!(page(r#"[[["adc.bits", "2"]], [["adc.bits", "3"]]]"#).contains(all));
    let some = "What ran: network <b>a &lt;b&gt;</b>; data x &amp; y; 9 images; 1 chip; seed 4.";
    assert!(
        page(r#"[[["checkpoint", "a"], ["profile", "p"]], [["checkpoint", "b"], ["profile", "p"]]]"#).contains(some)
    );
    let origin = r#"{"command": "recipe", "configuration": {"recipe": {"seed": 7}, "profiles": [{"name": "p"}, {"name": "q"}]}}"#;
    let (page, _) = report(&[("summary.csv", &table), ("origin.json", origin)]).unwrap();
    assert!(page.contains("What ran: hardware <b>p</b>, <b>q</b>; seed 7."), "{page}");
}

#[test]
fn points_on_other_images_are_not_compared() {
    let row = |stage: &str, images: u32, mean: f64, bytes: u32| {
        format!("{stage},{images},2,{mean},1,2,{mean},{mean},500,{bytes}\n")
    };
    let rows = [
        row("plain", 100, 70.0, 1),
        row("own", 100, 80.0, 30),
        row("other", 100, 75.0, 60),
        row("plain", 5000, 99.0, 1),
    ]
    .concat();
    let table = format!("stage,images,{METRICS},sram_bytes\n{rows}");
    let (page, _) = report(&[("summary.csv", &table)]).unwrap();
    for expected in
        ["30 bytes, with own.", "Mean accuracy is highest with own, 100 images: 80.00 %", "Next is other, 100 images"]
    {
        assert!(page.contains(expected), "{expected}: {page}");
    }
}

#[test]
fn other_axes_and_single_points_have_their_answers() {
    let row = |settings: &str, mean: f64| format!("{settings}1,{mean},,,{mean},{mean},\n");
    let cases = [
        (
            summary("adc.bits,", &[row("4,", 70.0), row("8,", 91.0)].concat()),
            "highest at adc.bits = 8: 91.00 % (one chip)",
        ),
        (summary("stage,", &[row("a,", 70.0), row("b,", 91.0)].concat()), "highest with b: 91.00 %"),
        (summary("", &row("", 88.0)), "Mean accuracy is 88.00 % (one chip)"),
        (
            summary("rram.variation.scale,", &[row("1,", 80.0), row("0,", 80.0)].concat()),
            "At the largest RRAM variation scale, 1, mean accuracy is 80.00 %",
        ),
        (summary("x,", &[row("-1e-300,", 1.0), row("1e300,", 2.0)].concat()), "highest with x = 1e300"),
    ];
    for (table, expected) in cases {
        let (page, svg) = report(&[("summary.csv", &table)]).unwrap();
        assert!(page.contains(expected), "{expected}: {page}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{expected}: {svg}");
    }
}

#[test]
fn further_columns_that_say_something_stand_in_the_table() {
    let header = format!("stage,{METRICS},sram_bytes,points_regained,shift\n");
    let table = header + "a,1,90,,,90,90,7,0,,<i>\nb,1,91,,,91,91,7,0,1.2345,\n";
    let (page, _) = report(&[("summary.csv", &table)]).unwrap();
    assert!(page.contains(">points regained</th>") && page.contains(">1.23</td>") && page.contains("&lt;i&gt;"));
    assert!(!page.contains("sram bytes"), "all 0");
}

#[test]
fn many_stages_stand_one_below_the_other() {
    let rows: String = (0..12).map(|i| format!("s{i},4,0,1,90,,,90,90,7\ns{i},4,2,1,{},,,70,70,7\n", 60 + i)).collect();
    let table = summary("stage,rram.weight_bits,rram.variation.scale,", &rows);
    let (page, svg) = report(&[("summary.csv", &table)]).unwrap();
    assert!(page.contains("At RRAM variation scale 2, mean accuracy is highest with s11: 71.00 %"), "{page}");
    assert!(page.contains("All at rram.variation.scale = 2.") && !svg.contains("<polyline"));
}

#[test]
fn every_text_is_shown_as_text() {
    let table = summary("stage,", "<b>&\"',1,90,,,90,90,\nplain,1,80,,,80,80,\n");
    let origin = r#"{"title": "</title><script>", "question": "a < b?", "command": "x & y", "version": "\u0001"}"#;
    let (page, svg) = report(&[("summary.csv", &table), ("origin.json", origin)]).unwrap();
    for text in [&page, &svg] {
        assert!(text.contains("&lt;b&gt;&amp;&quot;&#39;") && !text.contains("<b>"));
    }
    assert!(page.contains("<title>&lt;/title&gt;&lt;script&gt;</title>"));
    assert!(page.contains("a &lt; b?") && page.contains("x &amp; y") && page.contains("crosspike \u{fffd}"));
}

#[test]
fn more_than_can_be_shown_is_said() {
    let rows: String = (0..24).map(|row| format!("{},{},1,{row},,,{row},{row},\n", row % 2, row / 2)).collect();
    let (page, svg) = report(&[("summary.csv", &summary("a,b,", &rows))]).unwrap();
    assert!(page.contains("Shown are the best 8 of 12 series."));
    assert_eq!(svg.matches("<polyline").count(), 8);
    let rows: String = (0..70).map(|row| format!("name {row},1,{row},,,{row},{row},\n")).collect();
    let (page, _) = report(&[("summary.csv", &summary("a,", &rows))]).unwrap();
    assert!(page.contains("Shown are the first 60 of 70 points."));
}

#[test]
fn tables_that_would_be_misread_are_refused() {
    let good = summary("a,", "1,2,90,1,0.5,89,91,7\n");
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&[], "summary.csv: not found; expected the table of a sweep"),
        (&[("summary.csv", "")], "expected a column `chips`"),
        (&[("summary.csv", "a,chips,accuracy_mean\n")], "expected the columns chips, accuracy_mean"),
        (&[("summary.csv", &summary("a,", ""))], "expected at least one row"),
        (&[("summary.csv", &summary("a,", "1,2,90\n"))], "found record with 3 fields"),
        (
            &[("summary.csv", &summary("a,", "1,2,many,1,1,1,1,1\n"))],
            "line 2: accuracy_mean: expected a number from 0 to 100; found `many`",
        ),
        (&[("summary.csv", &summary("a,", "1,2,101,1,1,1,1,1\n"))], "found `101`"),
        (&[("summary.csv", &summary("a,", "1,2,NaN,1,1,1,1,1\n"))], "found `NaN`"),
        (
            &[("summary.csv", &good), ("results.csv", "a,chip,accuracy\n3,0,90\n")],
            "settings that no row of summary.csv has",
        ),
        (&[("summary.csv", &good), ("origin.json", "[1]")], "expected a JSON object"),
    ];
    for (files, expected) in cases {
        let message = report(files).expect_err(expected);
        assert!(message.contains(expected), "expected {expected:?}: {message}");
    }
    assert!(report(&[("summary.csv", &good)]).is_ok(), "the table without faults is accepted");
}

#[test]
fn what_accuracy_costs_is_said_and_drawn() {
    let further = "sram_bytes,adc_clipped_per_image,adder_saturated_per_image,energy_pj_per_image";
    let head = format!("rram.variation.scale,adc.bits,{METRICS},{further}\n");
    let row = |scale: u32, bits: u32, mean: f64, pj: f64| {
        format!("{scale},{bits},20,{mean},0.5,0.2,{},{},400,0,0,0,{pj}\n", mean - 1.0, mean + 1.0)
    };
    let rows = [(2, 60.0, 1e6), (3, 80.0, 2e6), (4, 84.9, 3e6), (5, 84.0, 5e6), (6, 85.0, 9e6)];
    let at_1: String = rows.iter().map(|(bits, mean, pj)| row(1, *bits, *mean, *pj)).collect();
    let at_0: String = rows.iter().map(|(bits, _, pj)| row(0, *bits, 90.0, *pj)).collect();
    let (page, _) = report(&[("summary.csv", &format!("{head}{at_0}{at_1}"))]).unwrap();
    for expected in [
        "Within 0.5 points of the best accuracy at variation scale 1, the least energy is 3.00 µJ, with adc.bits = 4: \
         84.90 %, where the best has 85.00 % for 9.00 µJ.",
        "<li>adc.bits = 2: 60.00 %, 1.00 µJ</li>",
        "<li>adc.bits = 6: 85.00 %, 9.00 µJ</li>",
        "id=\"pareto-energy-title\"",
        // The map of both settings.
        "id=\"heat-0-title\"",
        "<title>rram.variation.scale 1, adc.bits 4: 84.90 ± 0.20 %</title>",
        "download=\"summary.csv\" href=\"data:text/csv;charset=utf-8,rram.variation.scale%2Cadc.bits%2C",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("<li>adc.bits = 5: "), "it is beaten");
    assert!(!page.contains("pareto-sram"), "a cost that is the same everywhere is none");
}

#[test]
fn drawings_are_files_too_and_those_of_an_earlier_report_go() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let head = format!("adc.bits,tile.rows,{METRICS},sram_bytes,area_mm2,interval_ns\n");
    let row =
        |bits: u32, rows: u32| format!("{bits},{rows},2,{},1,1,80,90,7,0,{},{}\n", 80 + bits, bits * rows, bits * 1500);
    let all: String = (2..5).flat_map(|bits| [64, 128].map(|rows| row(bits, rows))).collect();
    fs::write(at.join("summary.csv"), head + &all).unwrap();
    let layers: String =
        (2..5).flat_map(|bits| [64, 128].map(|rows| format!("{bits},{rows},conv1,70,0.25,\n"))).collect();
    let names = "adc.bits,tile.rows,layer,spikes_per_image,spikes_per_neuron_step,energy_pj_per_image\n";
    fs::write(at.join("layers.csv"), format!("{names}{layers}")).unwrap();
    fs::write(at.join("figure-heat-1.svg"), "of an earlier report").unwrap();
    fs::write(at.join("figure-notes.txt"), "not ours").unwrap();
    let page = fs::read_to_string(write(at).unwrap()).unwrap();
    assert!(page.contains("own: 256.000 mm²") && page.contains("own: 6.00 µs"), "{page}");
    assert!(page.contains("Spikes of a neuron and step, by layer") && page.contains(">0.2500</text>"));
    assert!(page.contains("Where spikes are at the answer, ") && page.contains("the profile has no energies"));
    let mut names: Vec<String> =
        fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = [
        "accuracy.svg",
        "figure-heat-0.svg",
        "figure-notes.txt",
        "figure-pareto-area.svg",
        "figure-pareto-interval.svg",
        "figure-split.svg",
    ];
    assert_eq!(names[..6], expected);
    for name in expected.iter().filter(|name| name.ends_with("svg")) {
        let drawn = fs::read_to_string(at.join(name)).unwrap();
        assert!(drawn.starts_with("<svg xmlns") && !drawn.contains("var("), "{name}: colours of its own");
    }
}

#[test]
fn stages_that_know_nothing_of_an_axis_stand_in_a_row() {
    let stages: String = (0..6).map(|i| format!("plain {i},,1,{},,,80,80,7\n", 80 + i)).collect();
    let swept = "pruned,0.1,1,90,,,90,90,7\npruned,0.2,1,89,,,89,89,7\n";
    let (page, svg) = report(&[("summary.csv", &summary("stage,prune.threshold,", &(stages + swept)))]).unwrap();
    assert!(page.contains("Mean accuracy is highest with pruned, prune.threshold = 0.1: 90.00 %"), "{page}");
    assert!(svg.contains("plain 5") && !svg.contains("<polyline"));
}

/// A study of chips at settings: `rows` are settings, cost in picojoule, and the accuracy of each chip.
fn chips_at(names: &str, rows: &[(&str, f64, &[f64])]) -> [String; 2] {
    let mut summary = format!("{names},{METRICS},energy_pj_per_image\n");
    let mut results = format!("{names},chip,accuracy\n");
    for (settings, pj, each) in rows {
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        let (low, high) = each.iter().fold((100.0f64, 0.0f64), |(low, high), x| (low.min(*x), high.max(*x)));
        summary += &format!("{settings},{},{mean},0.5,0.4,{low},{high},400,{pj}\n", each.len());
        for (chip, accuracy) in each.iter().enumerate() {
            results += &format!("{settings},{chip},{accuracy}\n");
        }
    }
    [summary, results]
}

#[test]
fn the_cheapest_setting_that_is_as_good_is_the_answer() {
    let rows: [(&str, f64, &[f64]); 4] = [
        ("2", 1e6, &[60.0, 61.0, 60.5, 61.5]),
        ("3", 2e6, &[85.0, 85.2, 84.9, 85.1]),
        ("4", 3e6, &[86.1, 86.6, 86.0, 86.5]),
        ("6", 9e6, &[86.2, 86.5, 86.1, 86.6]),
    ];
    let [summary, results] = chips_at("adc.bits", &rows);
    let files = [("summary.csv", summary.as_str()), ("results.csv", results.as_str())];
    let lead = "is within 0.5 points of the most accurate and not surely below it is adc.bits = 4: 86.30 %";
    let (page, _) = report(&files).unwrap();
    for expected in [lead, "for 3.00 µJ an image. The most accurate, adc.bits = 6, has 86.35 % for 9.00 µJ an image."]
    {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    // The reader's own criterion.
    for (within, expected) in [
        ("1.5", "within 1.5 points of the most accurate is adc.bits = 3"),
        ("0", "The most accurate setting is adc.bits = 6: 86.35 %"),
    ] {
        let origin = format!("{{\"command\": \"sweep\", \"derived\": {{\"within\": {within}}}}}");
        let (page, _) = report(&[files[0], files[1], ("origin.json", &origin)]).unwrap();
        assert!(page.contains(expected), "{within}: {page}");
    }
    // A hundredth of a cost is no saving.
    let near: [(&str, f64, &[f64]); 3] =
        [("3", 3.0e6, &[86.0, 86.5]), ("4", 3.01e6, &[86.4, 86.5]), ("6", 9e6, &[86.5, 86.2])];
    let [summary, results] = chips_at("adc.bits", &near);
    let (page, _) = report(&[("summary.csv", &summary), ("results.csv", &results)]).unwrap();
    assert!(page.contains("The most accurate setting, adc.bits = 4, also has the least energy"), "{page}");
    // Variation is no choice, and the key that would make one is said to be idle.
    let [summary, results] = chips_at(
        "rram.variation.scale,adc.bits",
        &[
            ("1,3", 2e6, &[80.0, 81.0]),
            ("1,4", 3e6, &[82.0, 83.0]),
            ("2,3", 2e6, &[70.0, 71.0]),
            ("2,4", 3e6, &[72.0, 73.0]),
        ],
    );
    let origin = "{\"command\": \"sweep\", \"derived\": {\"within\": 3}}";
    let files = [("summary.csv", summary.as_str()), ("results.csv", results.as_str())];
    let (page, _) = report(&[files[0], files[1], ("origin.json", origin)]).unwrap();
    assert!(page.contains("here there is no such choice") && page.contains("At the largest"), "{page}");
    assert!(!report(&files).unwrap().0.contains("here there is no such choice"));
    // Few chips that differ by tens of points leave nothing sure, and yet a setting that is far below is no answer.
    let wide: [(&str, f64, &[f64]); 2] = [("2", 1e6, &[10.0, 90.0]), ("4", 3e6, &[99.0, 20.0])];
    let [summary, results] = chips_at("adc.bits", &wide);
    let (page, _) = report(&[("summary.csv", &summary), ("results.csv", &results)]).unwrap();
    assert!(page.contains("The most accurate setting is adc.bits = 4"), "{page}");
}

#[test]
fn three_settings_are_drawn_in_panels_and_a_fourth_is_held() {
    let row = |settings: String, mean: f64| format!("{settings},2,{mean},1,1,{mean},{mean},500\n");
    let grid = |others: &[&str]| -> String {
        let mut rows = String::new();
        for (bits, height, sram) in (3..6)
            .flat_map(|bits| [64, 128].map(|height| (bits, height)))
            .flat_map(|(b, h)| [0, 1, 2].map(|s| (b, h, s)))
        {
            for other in others {
                let mean = 70.0 + f64::from(bits + sram) - f64::from(height) / 64.0 + other.len() as f64;
                rows += &row(format!("{bits},{height},{sram}{other}"), mean);
            }
        }
        rows
    };
    let (page, svg) =
        report(&[("summary.csv", &format!("adc.bits,tile.rows,sram.bits,{METRICS}\n{}", grid(&[""])))]).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 6, "two panels of three series: {svg}");
    assert!(svg.contains("tile.rows = 64") && svg.contains("tile.rows = 128") && svg.contains("2-bit SRAM"), "{svg}");
    assert_eq!(svg.matches(">2-bit SRAM<").count(), 1, "a colour is named once");
    assert!(page.contains("Panels share their axes") && !page.contains("Shown are the best"), "{page}");
    let table = format!("adc.bits,tile.rows,sram.bits,adc.sharing,{METRICS}\n{}", grid(&[",1", ",16"]));
    let (page, svg) = report(&[("summary.csv", &table)]).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 6, "the fourth setting is as at the best point: {svg}");
    assert!(page.contains("All else is at adc.sharing = 16, as at the answer."), "{page}");
}

#[test]
fn the_table_begins_with_what_decides_and_says_once_what_is_the_same() {
    let rows: [(&str, f64, &[f64]); 2] = [("2,576", 1.25e6, &[60.0, 61.0]), ("4,576", 3e6, &[86.0, 86.5])];
    let [summary, results] = chips_at("adc.bits,tile.rows", &rows);
    let (page, _) = report(&[("summary.csv", &summary), ("results.csv", &results)]).unwrap();
    let head = &page[page.find("<thead>").unwrap()..page.find("</thead>").unwrap()];
    let places: Vec<usize> = [">adc.<wbr>bits<", ">accuracy, %<", ">energy, µJ/image<", ">worst chip, %<"]
        .map(|t| head.find(t).unwrap())
        .into();
    assert!(places.is_sorted() && !head.contains("rows"), "{head}");
    assert!(page.contains(">60.50\u{a0}±\u{a0}0.40</td><td class=\"number\">1.250</td>"), "{page}");
    assert!(page.contains("The same at all: tile.rows = 576; std, %: 0.50; chips: 2; spikes/image: 400.0."), "{page}");
}

#[test]
fn a_training_has_its_learning_curves() {
    let log = "epoch,learning_rate,loss,train_accuracy,validation_accuracy\n\
               1,0.1,0.7,70,72\n2,0.1,0.5,82,80.5\n3,0.01,0.4,86,80\n";
    let timing = "epoch,seconds,images_per_second\n1,40,300\n2,42,280\n";
    let (page, svg) = report(&[("log.csv", log), ("timing.csv", timing)]).unwrap();
    for expected in [
        "After 3 epochs the network has 86.00 % of the training images, at a loss of 0.400, and 80.00 % of the \
         validation images.",
        "Validation was best after epoch 2: 80.50 %.",
        "Training images are 6.00 points ahead of validation images.",
        "The loss fell from 0.700 to 0.400.",
        "An epoch took 41.0 s on average, 290 images a second.",
        "<th scope=\"row\" class=\"number\">3</th><td class=\"number\">86.00</td><td class=\"number\">80.00</td>",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert_eq!(svg.matches("<polyline").count(), 3, "training, validation, loss");
    let without = log.replace(",72\n", ",\n").replace(",80.5\n", ",\n").replace(",80\n", ",\n");
    let (page, _) = report(&[("log.csv", &without)]).unwrap();
    assert!(page.contains("No images were held back for validation"), "{page}");
    for (log, expected) in [("epoch,loss\n1,2\n", "expected a column `learning_rate`"), ("", "expected a column")] {
        assert!(report(&[("log.csv", log)]).unwrap_err().contains(expected), "{log}");
    }
}
