//! The report in a browser (Debian's `chromium`): it draws in light and dark, on wide and narrow screens, prints, and
//! asks for nothing from outside.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tests.
pub const TESTS: &[crate::Test] = &crate::tests![
    a_browser_draws_the_page_light_and_dark_wide_and_narrow,
    a_reader_chooses_axes_and_needs_no_script,
    a_browser_prints_the_page
];

/// Why there is no browser.
pub fn missing() -> Option<String> {
    Command::new("chromium").arg("--version").output().err().map(|error| format!("chromium: {error}"))
}

/// Runs the browser on a page; gives what it prints and what it says.
fn browser(folder: &Path, options: &[&str], page: &Path) -> [String; 2] {
    let profile = tempfile::tempdir().unwrap();
    let user = format!("--user-data-dir={}", profile.path().display());
    let common = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"];
    let url = format!("file://{}", page.display());
    let output =
        Command::new("chromium").current_dir(folder).args(common).arg(user).args(options).arg(url).output().unwrap();
    let [printed, said] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}");
    [printed, said]
}

/// A study of two settings with costs, and its page.
fn page(folder: &Path) -> PathBuf {
    let mut summary =
        "adc.bits,tile.rows,chips,accuracy_mean,accuracy_std,accuracy_ci95,accuracy_min,accuracy_max,spikes_per_image,\
                       sram_bytes,energy_pj_per_image\n"
            .to_string();
    for (bits, rows) in (2..8).flat_map(|bits| [32, 128, 576].map(|rows| (bits, rows))) {
        let mean = 90.0 - 40.0 / f64::from(bits * bits) - f64::from(rows) / 500.0;
        let energy = 1e6 * f64::from(bits) * 600.0 / f64::from(rows);
        summary += &format!("{bits},{rows},20,{mean},0.5,0.2,{},{},400,0,{energy}\n", mean - 1.0, mean + 1.0);
    }
    fs::write(folder.join("summary.csv"), summary).unwrap();
    crosspike::report::write(folder).unwrap()
}

/// A picture's size and its pixels, red, green and blue.
fn pixels(file: &Path) -> ([u32; 2], Vec<[u8; 3]>) {
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(file).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let channels = info.color_type.samples();
    ([info.width, info.height], bytes.chunks(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
}

fn a_browser_draws_the_page_light_and_dark_wide_and_narrow() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let page = page(folder);
    for (name, [width, height], dark, paper, series) in [
        ("light", [1100, 2400], false, [255, 255, 255], [0x00, 0x72, 0xb2]),
        ("dark", [1100, 2400], true, [0x16, 0x18, 0x1b], [0x5a, 0xb0, 0xf0]),
        ("narrow", [500, 3000], false, [255, 255, 255], [0x00, 0x72, 0xb2]),
    ] {
        let (size, shot) = (format!("--window-size={width},{height}"), format!("--screenshot={name}.png"));
        let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
        let [_, said] = browser(folder, &[&size, &shot, &scheme], &page);
        // What a page is refused, by its own policy or for want of a file, the console tells.
        assert!(!said.contains("CONSOLE"), "{said}");
        let (found, pixels) = pixels(&folder.join(format!("{name}.png")));
        assert_eq!(found, [width, height]);
        let corners = [0, width as usize - 1, pixels.len() - 1];
        assert!(corners.iter().all(|corner| pixels[*corner] == paper), "{name}: the paper is {:?}", pixels[0]);
        let colours: HashSet<[u8; 3]> = pixels.iter().copied().collect();
        assert!(colours.contains(&series), "{name}: the first series");
        // The chart, the map and the front, one below the other: text and lines all the way down.
        let row = |y: usize| pixels[y * width as usize..][..width as usize].iter().any(|pixel| *pixel != paper);
        let drawn = (0..height as usize).filter(|y| row(*y)).count();
        assert!(drawn > 900, "{name}: {drawn} rows");
        // Nothing runs over the right edge.
        let margin = (0..height as usize).filter(|y| pixels[(y + 1) * width as usize - 4] != paper).count();
        assert_eq!(margin, 0, "{name}: rows that reach the edge");
    }
}

fn a_reader_chooses_axes_and_needs_no_script() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path());
    let [drawn, said] = browser(folder.path(), &["--dump-dom"], &page);
    assert!(!said.contains("CONSOLE"), "{said}");
    let explored = &drawn[drawn.find("id=\"explore\"").unwrap()..];
    // Bits across, a line for each of the three tile heights, every point with its words.
    assert!(explored.contains("18 of 18 points; accuracy mean from"), "{explored}");
    assert_eq!(explored.matches("<polyline").count(), 3);
    assert!(explored.contains("adc.bits 7, tile.rows 32: accuracy mean 89.1197, adc.bits 7</title>"), "{explored}");
    for choice in ["energy, µJ/image", "accuracy min", "tile.rows"] {
        assert!(explored.contains(&format!(">{choice}</option>")), "{choice}");
    }
    // Another script than the page's own is refused, also one that got into it.
    let text = fs::read_to_string(&page).unwrap();
    let changed = text.replace("\"use strict\";", "\"use strict\"; ");
    assert_ne!(text, changed);
    fs::write(&page, changed).unwrap();
    let [drawn, said] = browser(folder.path(), &["--dump-dom"], &page);
    assert!(said.contains("CONSOLE") && said.contains("Content Security Policy"), "{said}");
    let explored = &drawn[drawn.find("id=\"explore\"").unwrap()..];
    assert!(explored.starts_with("id=\"explore\" hidden") && !explored.contains("<polyline"), "nothing of it is seen");
}

fn a_browser_prints_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path());
    browser(folder.path(), &["--print-to-pdf=page.pdf", "--no-pdf-header-footer"], &page);
    let pdf = fs::read(folder.path().join("page.pdf")).unwrap();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 10_000, "{} bytes", pdf.len());
}
