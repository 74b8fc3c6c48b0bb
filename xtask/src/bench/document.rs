//! Puts what was measured between two marks of docs/performance.md; the words around them are written by hand.

use anyhow::Context as _;
use xshell::Shell;

use super::DOCUMENT;

/// Replaces one section of the document.
pub(super) fn replace(sh: &Shell, name: &str, section: &str) -> anyhow::Result<()> {
    let text = sh.read_file(DOCUMENT)?;
    let text = replaced(&text, name, section)
        .with_context(|| format!("{DOCUMENT} has no section `{name}`"))?;
    sh.write_file(DOCUMENT, text)?;
    Ok(())
}

/// The text with another section.
pub(super) fn replaced(text: &str, name: &str, section: &str) -> Option<String> {
    let begin = format!("<!-- begin {name}: written by `cargo xtask bench`, not by hand -->");
    let end = format!("<!-- end {name} -->");
    let start = text.find(&begin)? + begin.len();
    let length = text[start..].find(&end)?;
    let (before, after) = (&text[..start], &text[start + length..]);
    Some(format!("{before}\n\n{section}\n\n{after}"))
}
