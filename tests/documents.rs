//! What the documents name is there: links and their headings, pictures, pages of the site, and TOML that can be read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crosspike::profile::Profile;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, the README first.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("python/README.md"), root().join("CHANGELOG.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(ending) if ending == "md" => pages.push(path),
                _ => {}
            }
        }
    }
    pages
}

/// A page's fenced blocks of a language, and its text without any block.
fn split(page: &Path, language: &str) -> (Vec<String>, String) {
    let (mut blocks, mut text, mut open) = (vec![], String::new(), None::<(bool, String)>);
    for line in fs::read_to_string(page).unwrap().lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(name)) => open = Some((name == language, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take().filter(|(is_meant, _)| *is_meant).map(|(_, block)| block)),
            (Some((_, block)), None) => *block += &format!("{line}\n"),
            (None, None) => text += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", page.display());
    (blocks, text)
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let (_, text) = split(page, "");
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let of = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    headings.map(of).collect()
}

/// What stands between two marks, wherever they do.
fn between<'a>(text: &'a str, from: &'a str, to: char) -> impl Iterator<Item = &'a str> {
    text.match_indices(from).filter_map(move |(at, _)| text[at + from.len()..].split(to).next())
}

#[test]
fn links_lead_somewhere() {
    let (mut wrong, mut found) = (vec![], 0);
    for page in pages() {
        let (_, text) = split(&page, "");
        // Code within a line is no link.
        let text: String = text.split('`').step_by(2).collect();
        let links =
            between(&text, "](", ')').chain(between(&text, "src=\"", '"')).chain(between(&text, "srcset=\"", '"'));
        for link in links.filter(|link| !link.starts_with("http") && !link.is_empty()) {
            found += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            if !target.exists() || !anchor.is_empty() && !anchors(&target).contains(anchor) {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(found > 100, "only {found} links");
    assert!(wrong.is_empty(), "these lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_site() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let there: BTreeSet<PathBuf> =
        between(&summary, "](", ')').filter(|link| !link.is_empty()).map(|link| docs.join(link)).collect();
    let all: BTreeSet<PathBuf> =
        pages().into_iter().filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(there, all);
}

#[test]
fn toml_can_be_read_and_a_profile_is_one() {
    let (mut blocks, mut profiles) = (0, 0);
    for page in pages() {
        for block in split(&page, "toml").0 {
            let table: toml::Table =
                toml::from_str(&block).unwrap_or_else(|e| panic!("{}: {e}\n{block}", page.display()));
            blocks += 1;
            if table.contains_key("rram") && !table.contains_key("model") {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("profile.toml");
                fs::write(&file, &block).unwrap();
                Profile::read(&file, &[]).unwrap_or_else(|e| panic!("{}: {e}\n{block}", page.display()));
                profiles += 1;
            }
        }
    }
    assert!(blocks >= 6 && profiles >= 2, "{blocks} blocks of TOML, {profiles} profiles");
}

#[test]
fn the_readme_can_be_read_in_ten_minutes() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(text.lines().count() <= 150, "{} lines", text.lines().count());
}
