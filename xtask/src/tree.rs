//! The text files of the repository, in memory, so that checks over them can be tested on made-up ones.

use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use crate::workspace;

/// One text file.
#[derive(Debug, Clone)]
pub(crate) struct TextFile {
    /// The path from the root, with forward slashes.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// A set of text files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    /// The files in the order of their paths.
    pub(crate) files: Vec<TextFile>,
}

impl Tree {
    /// Reads every text file that git tracks or would track; where git does not answer, every file outside `target`.
    pub(crate) fn load(sh: &Shell) -> anyhow::Result<Self> {
        let root = workspace::root()?;
        let listed = cmd!(sh, "git ls-files -z --cached --others --exclude-standard")
            .quiet()
            .ignore_stderr()
            .read();
        let mut paths: Vec<String> = match listed {
            Ok(listed) => listed
                .split('\0')
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
                .collect(),
            Err(_) => walk(&root)?,
        };
        paths.sort();
        paths.dedup();
        let files = paths
            .into_iter()
            .filter_map(|path| {
                // A listed file may be deleted already, and one that is not UTF-8 is not text.
                let text = std::fs::read_to_string(root.join(&path)).ok()?;
                (!text.contains('\0')).then_some(TextFile { path, text })
            })
            .collect();
        Ok(Self { files })
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }

    /// The Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The manifests of packages: every `Cargo.toml` that does not open a workspace of its own.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|file| {
            (file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml"))
                && !file.text.lines().any(|line| line.trim() == "[workspace]")
        })
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| TextFile {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        Self { files }
    }
}

fn walk(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = entry.file_name();
            if kind.is_dir() && name != "target" && name != ".git" {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                found.push(
                    path.strip_prefix(root)?
                        .to_string_lossy()
                        .replace('\\', "/"),
                );
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_found_with_git_and_without() {
        let sh = workspace::shell().unwrap();
        let tree = Tree::load(&sh).unwrap();
        assert!(
            tree.text("xtask/src/tree.rs")
                .is_some_and(|text| text.starts_with("//!"))
        );
        assert!(tree.manifests().any(|file| file.path == "xtask/Cargo.toml"));
        assert!(
            !tree.manifests().any(|file| file.path == "Cargo.toml"),
            "the root opens the workspace"
        );
        let walked = walk(&workspace::root().unwrap()).unwrap();
        assert!(walked.iter().any(|path| path == "xtask/src/tree.rs"));
        assert!(!walked.iter().any(|path| path.starts_with("target/")));
    }
}
