//! No file names a directory of the machine that it was written on.

use super::code::line_of;
use crate::tree::TextFile;

/// Spelled in two parts so that this file passes its own check.
const MACHINE: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
];

/// Adds every absolute path into somebody's machine.
pub(super) fn check(file: &TextFile, findings: &mut Vec<String>) {
    let TextFile { path, text } = file;
    for directory in MACHINE {
        for (at, _) in text.match_indices(directory) {
            // After a name or a slash it is the middle of an address, a URL or a relative path.
            let middle = text[..at].ends_with(|c: char| {
                c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~' | '}')
            });
            if !middle {
                findings.push(format!(
                    "{path}:{}: names a path of one machine, {directory}…",
                    line_of(text, at)
                ));
            }
        }
    }
}
