//! What went wrong inside nested errors.

#[cfg(test)]
mod tests;

use std::{error::Error, io, iter};

/// The most levels of an error that are looked at.
const MAX_DEPTH: usize = 64;
/// The most characters of a line. Peers write parts of some errors.
const MAX_CHARS: usize = 400;

/// One readable line about an error of a transport: what each level says, from the outside in, and
/// nothing twice.
///
/// libp2p nests an error once for every layer and every alternative; most of the levels repeat the
/// one below or say nothing. Control characters become spaces, and the line ends after 400 characters.
///
/// ```
/// use std::io;
/// use o_transport::flatten_error;
///
/// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
/// let nested = io::Error::other(io::Error::other(refused));
/// assert_eq!(flatten_error(&nested), "connection refused");
/// ```
#[must_use]
pub fn flatten_error(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for level in levels(error) {
        let text = one_line(&level.to_string());
        let lower = text.to_lowercase();
        if said
            .iter()
            .any(|other| other.to_lowercase().contains(&lower))
        {
            continue;
        }
        said.retain(|other| !lower.contains(&other.to_lowercase()));
        said.push(text);
    }
    let mut line = said.join(": ");
    if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// The first error of type `E` inside `error`, also where libp2p has wrapped it in an `io::Error`.
#[must_use]
pub fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    levels(error).find_map(|level| level.downcast_ref())
}

/// What the system said, if anything in `error` comes from it: `AddrInUse`, `ConnectionRefused`.
#[must_use]
pub fn io_error_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    levels(error)
        .filter_map(|level| level.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .find(|kind| *kind != io::ErrorKind::Other)
}

/// The error and what it was made of. `source` alone would step over what an `io::Error` holds.
fn levels<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match held {
            Some(held) => Some(held as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
    .take(MAX_DEPTH)
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    line.trim_end_matches(['.', ':']).to_owned()
}
