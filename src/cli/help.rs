//! The words below a command's options: paragraphs that fill the terminal's width, and examples that can be copied.

use clap::Command;

/// Columns of an example, at most: it fits into the narrowest usual terminal, which would break it elsewhere.
const WIDTH: usize = 80;
/// The indentation of an example's further lines.
const FURTHER: &str = "      ";

/// Lays out what stands below the options of a command and of all that are within it.
///
/// Lines that begin with two spaces stand as they are written, but examples (`crosspike …`) are broken where a shell
/// takes them. Other lines are a paragraph up to a line that is empty or ends with a colon.
pub fn laid_out(mut command: Command) -> Command {
    if let Some(text) = command.get_after_help().map(ToString::to_string) {
        command = command.after_help(paragraphs(&text));
    }
    let names: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, laid_out))
}

fn paragraphs(text: &str) -> String {
    let (mut lines, mut is_open) = (Vec::<String>::new(), false);
    for line in text.replace("\\\n", "").lines() {
        let is_verbatim = line.starts_with("  ");
        match lines.last_mut().filter(|_| is_open && !is_verbatim && !line.is_empty()) {
            Some(paragraph) => *paragraph += &format!(" {line}"),
            None if is_verbatim => lines.extend(example(line)),
            None => lines.push(line.into()),
        }
        is_open = !is_verbatim && !line.is_empty() && !line.ends_with(':');
    }
    lines.join("\n")
}

/// The lines of an example, its remark above it where both take more than a line.
fn example(line: &str) -> Vec<String> {
    let is_command = ["crosspike ", "parallel crosspike "].iter().any(|name| line.trim_start().starts_with(name));
    if !is_command || line.chars().count() <= WIDTH {
        return vec![line.into()];
    }
    let (command, remark) = line.split_once(" # ").unwrap_or((line, ""));
    let mut lines = if remark.is_empty() { vec![] } else { vec![format!("  # {}", remark.trim())] };
    let mut last = String::from(" ");
    for word in settings(command) {
        if last.chars().count() + 1 + word.chars().count() > WIDTH - 2 {
            lines.push(std::mem::replace(&mut last, FURTHER[1..].into()) + " \\");
        }
        last += &format!(" {word}");
    }
    lines.push(last);
    lines
}

/// The words of a command, an option with its value as one.
fn settings(command: &str) -> Vec<String> {
    let mut settings: Vec<String> = vec![];
    for word in command.split_whitespace() {
        match settings.last_mut().filter(|last| last.starts_with("--") && !last.contains([' ', '='])) {
            Some(option) if !word.starts_with('-') => *option += &format!(" {word}"),
            _ => settings.push(word.into()),
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        let text = "One line\nand another.\n\nExamples:\n  crosspike show\n  a = 1\nBehind.";
        assert_eq!(paragraphs(text), "One line and another.\n\nExamples:\n  crosspike show\n  a = 1\nBehind.");
    }

    #[test]
    fn long_examples_are_broken_where_a_shell_takes_them() {
        let long = format!("  crosspike infer {}  # why", ["--set a.key=1"; 8].join(" "));
        let lines = example(&long);
        assert_eq!(lines[0], "  # why");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        let shell = lines[1..].join("\n").replace("\\\n", "");
        let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        assert_eq!(words(&shell), words(long.split(" # ").next().unwrap()));
        assert!(lines[1..lines.len() - 1].iter().all(|line| line.ends_with("a.key=1 \\")), "{lines:?}");
    }
}
