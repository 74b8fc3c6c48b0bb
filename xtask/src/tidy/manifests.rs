//! Rules about the manifests of packages: lints and versions come from the root.

use crate::tree::TextFile;

/// Adds what is wrong with one manifest.
pub(super) fn check(file: &TextFile, findings: &mut Vec<String>) {
    let TextFile { path, text } = file;
    let sections = sections(text);
    let has_lints = sections.iter().any(|section| {
        section.name == "lints" && section.lines.iter().any(|(_, line)| inherits(line))
    });
    if !has_lints {
        findings.push(format!(
            "{path}:1: take the lints of the workspace, `[lints] workspace = true`"
        ));
    }
    for section in &sections {
        match dependency_table(section.name) {
            Table::No => {}
            Table::Many => {
                for (number, line) in section.lines.iter().filter(|(_, line)| !inherits(line)) {
                    findings.push(format!(
                        "{path}:{number}: name the version in the root manifest and write `workspace = true`: {line}"
                    ));
                }
            }
            Table::One if section.lines.iter().any(|(_, line)| inherits(line)) => {}
            Table::One => findings.push(format!(
                "{path}:{}: name the version in the root manifest and write `workspace = true`: {}",
                section.number, section.name
            )),
        }
    }
}

struct Section<'a> {
    name: &'a str,
    number: usize,
    /// Line numbers and lines; a value that spans lines is joined into its first.
    lines: Vec<(usize, String)>,
}

enum Table {
    /// Not about dependencies.
    No,
    /// `[dependencies]`: a dependency each line.
    Many,
    /// `[dependencies.name]`: one dependency.
    One,
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = vec![Section {
        name: "",
        number: 1,
        lines: Vec::new(),
    }];
    let mut open_brackets = 0_usize;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(section) = sections.last_mut() else {
            continue;
        };
        if open_brackets > 0 {
            if let Some((_, last)) = section.lines.last_mut() {
                last.push_str(line);
            }
        } else if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.split(']').next())
        {
            sections.push(Section {
                name: name.trim_start_matches('['),
                number,
                lines: Vec::new(),
            });
            continue;
        } else {
            section.lines.push((number, line.to_owned()));
        }
        let opened = line.matches(['[', '{']).count();
        let closed = line.matches([']', '}']).count();
        open_brackets = (open_brackets + opened).saturating_sub(closed);
    }
    sections
}

fn inherits(line: &str) -> bool {
    let squeezed: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    squeezed.contains("workspace=true")
}

fn dependency_table(section: &str) -> Table {
    // `[target.'cfg(unix)'.dependencies]` holds the same tables one level down.
    let section = section.strip_prefix("target.").map_or(section, |rest| {
        let start = ["dependencies", "dev-dependencies", "build-dependencies"]
            .iter()
            .filter_map(|kind| rest.find(&format!(".{kind}")))
            .min();
        start.map_or(rest, |start| &rest[start + 1..])
    });
    let (table, name) = section
        .split_once('.')
        .map_or((section, None), |(table, name)| (table, Some(name)));
    match (table, name) {
        ("dependencies" | "dev-dependencies" | "build-dependencies", None) => Table::Many,
        ("dependencies" | "dev-dependencies" | "build-dependencies", Some(_)) => Table::One,
        _ => Table::No,
    }
}
