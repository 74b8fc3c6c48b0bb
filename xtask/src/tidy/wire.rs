//! The error codes in docs/wire.md are those of `o_core::ErrorCode`.

use std::collections::BTreeMap;

use super::code::line_of;
use crate::tree::Tree;

/// The specification, with the table between the two marks.
const DOCUMENT: &str = "docs/wire.md";
const BEGIN: &str = "<!-- error-codes:begin -->";
const END: &str = "<!-- error-codes:end -->";

/// The enum, each variant on a line `(12, Refused, "refused"),` inside a macro.
const SOURCE: &str = "o-core/src/error/code.rs";

/// Number to name.
type Codes = BTreeMap<u32, String>;

/// Adds every difference between the two.
pub(super) fn check(tree: &Tree, findings: &mut Vec<String>) {
    let documented = read(tree, DOCUMENT, documented, findings);
    let defined = read(tree, SOURCE, defined, findings);
    let (Some(documented), Some(defined)) = (documented, defined) else {
        return;
    };
    for (number, name) in &defined {
        match documented.get(number) {
            None => findings.push(format!(
                "{DOCUMENT}: error code {number} `{name}` of {SOURCE} is missing"
            )),
            Some(other) if other != name => findings.push(format!(
                "{DOCUMENT}: error code {number} is called `{other}` here and `{name}` in {SOURCE}"
            )),
            Some(_) => {}
        }
    }
    for (number, name) in documented
        .iter()
        .filter(|(number, _)| !defined.contains_key(number))
    {
        findings.push(format!(
            "{SOURCE}: error code {number} `{name}` of {DOCUMENT} is missing"
        ));
    }
}

type Rows = Result<Vec<(usize, Option<(u32, String)>)>, String>;

/// Reads the rows of one file and refuses malformed ones, repeated ones and an empty list.
fn read(
    tree: &Tree,
    path: &str,
    rows: fn(&str) -> Rows,
    findings: &mut Vec<String>,
) -> Option<Codes> {
    let Some(text) = tree.text(path) else {
        findings.push(format!(
            "{path}: missing; the error codes of {DOCUMENT} and {SOURCE} are compared"
        ));
        return None;
    };
    let rows = match rows(text) {
        Ok(rows) => rows,
        Err(problem) => {
            findings.push(format!("{path}: {problem}"));
            return None;
        }
    };
    let mut codes = Codes::new();
    for (line, row) in rows {
        match row {
            None => findings.push(format!("{path}:{line}: not a row of number and name")),
            Some((number, name)) => {
                if let Some(other) = codes.insert(number, name.clone()) {
                    findings.push(format!(
                        "{path}:{line}: error code {number} is both `{other}` and `{name}`"
                    ));
                }
            }
        }
    }
    if codes.is_empty() {
        findings.push(format!("{path}: no error codes found"));
        return None;
    }
    Some(codes)
}

fn documented(text: &str) -> Rows {
    let begin = text.find(BEGIN).ok_or_else(|| format!("no line {BEGIN}"))?;
    let length = text[begin..]
        .find(END)
        .ok_or_else(|| format!("no line {END} after {BEGIN}"))?;
    let first_line = line_of(text, begin);
    let rows = (first_line..).zip(text[begin..begin + length].lines());
    let rows = rows.filter(|(_, line)| line.trim_start().starts_with('|'));
    // The first two rows of a table are its head and the rule below it.
    Ok(rows
        .skip(2)
        .map(|(number, line)| (number, table_row(line)))
        .collect())
}

fn table_row(line: &str) -> Option<(u32, String)> {
    let mut cells = line.trim().trim_matches('|').split('|').map(str::trim);
    let number = cells.next()?.parse().ok()?;
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    Some((number, name.to_owned()))
}

fn defined(text: &str) -> Rows {
    let production = &text[..text.find("#[cfg(test)]").unwrap_or(text.len())];
    let rows = (1..).zip(production.lines().map(str::trim));
    let rows = rows.filter(|(_, line)| {
        line.strip_prefix('(')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    Ok(rows
        .map(|(number, line)| (number, macro_row(line)))
        .collect())
}

fn macro_row(line: &str) -> Option<(u32, String)> {
    let row = line.strip_prefix('(')?.split_once(')')?.0;
    let mut cells = row.split(',').map(str::trim);
    let number = cells.next()?.parse().ok()?;
    let _variant = cells.next()?;
    let name = cells.next()?.strip_prefix('"')?.strip_suffix('"')?;
    Some((number, name.to_owned()))
}
