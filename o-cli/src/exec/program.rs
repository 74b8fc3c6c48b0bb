//! Which program a method runs.

use std::{env, path::Path};

use crate::exit::Failure;

/// The words of a command; the first names a program that was there when the server started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The first word.
    pub(super) name: String,
    /// The others.
    pub(super) arguments: Vec<String>,
}

impl Program {
    /// Takes the words of a command and looks for the program: where its name has a slash, from
    /// the working directory, else on `PATH`.
    ///
    /// # Errors
    /// When there is no such program.
    pub(crate) fn find(words: &[String]) -> Result<Self, Failure> {
        let Some((name, arguments)) = words.split_first() else {
            return Err(Failure::usage("a command has at least one word"));
        };
        let found = match name.contains('/') {
            true => is_program(Path::new(name)),
            false => {
                let path = env::var_os("PATH").unwrap_or_default();
                env::split_paths(&path).any(|directory| is_program(&directory.join(name)))
            }
        };
        if found {
            return Ok(Self {
                name: name.clone(),
                arguments: arguments.to_vec(),
            });
        }
        let failure = Failure::usage(format!("there is no program {name:?}"));
        Err(match (name.contains('/'), Path::new(name).exists()) {
            (true, true) => failure.hint(format!("make it executable: chmod +x {name}")),
            (false, true) => failure.hint(format!("it is in this directory: write ./{name}")),
            _ => failure.hint("the first word of a command is looked up on PATH, or is a path"),
        })
    }
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file() || path.with_extension("exe").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path_or_by_their_path() {
        let find = |word: &str| Program::find(&[word.to_owned(), "x".to_owned()]);
        assert_eq!(find("sh").unwrap().arguments, ["x"]);
        assert!(find("/bin/sh").is_ok());
        assert_eq!(find("no-such-program-here").unwrap_err().exit as u8, 2);
        // The tests run in the directory of this crate.
        assert!(
            find("Cargo.toml")
                .unwrap_err()
                .hint
                .unwrap()
                .contains("./Cargo.toml")
        );
        assert!(
            find("./Cargo.toml")
                .unwrap_err()
                .hint
                .unwrap()
                .contains("chmod")
        );
    }
}
