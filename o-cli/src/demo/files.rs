//! The file agent: searches and reads the text files under one directory.

use std::sync::Arc;

use futures::{StreamExt, stream};
use o_core::CallError;
use o_node::Methods;

use super::{
    library::Library,
    search::{MAX_HITS, search},
    wire::{Piece, READ, ReadParams, SEARCH, SearchParams},
};

/// Longest text of a piece, in bytes.
const PIECE: usize = 16 * 1024;

/// The methods of the file agent.
pub(super) fn methods(library: Library) -> Methods {
    let library = Arc::new(library);
    let reader = library.clone();
    Methods::new()
        .unary(SEARCH.1, move |_, params: SearchParams| {
            let library = library.clone();
            blocking(move || Ok(search(&library, &params)))
        })
        .describe("Finds text files by the words of a query, or the most important documents.")
        .idempotent()
        .server(READ.1, move |_, ReadParams { paths }: ReadParams| {
            let reader = reader.clone();
            async move {
                if paths.len() > MAX_HITS {
                    let message = format!("{} paths are more than {MAX_HITS}", paths.len());
                    return Err(CallError::InvalidParams { message });
                }
                let pieces = stream::iter(paths).then(move |path| read(reader.clone(), path));
                Ok(pieces.flat_map(stream::iter))
            }
        })
        .describe("Reads files that a search has found, piece by piece.")
        .idempotent()
}

async fn read(library: Arc<Library>, path: String) -> Vec<Result<Piece, CallError>> {
    let document = path.clone();
    let text = blocking(move || {
        library
            .read(&path)
            .map_err(|error| CallError::failed(format!("{path}: {error}")))
    });
    match text.await {
        Ok(text) => pieces(&document, &text).into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

/// A document in pieces, at least one.
fn pieces(document: &str, text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let boundary = (0..=rest.len().min(PIECE))
            .rev()
            .find(|at| rest.is_char_boundary(*at));
        let (part, after) = rest.split_at(boundary.unwrap_or(rest.len()));
        let last = after.is_empty();
        pieces.push(Piece {
            document: document.to_owned(),
            text: part.to_owned(),
            last,
        });
        if last {
            return pieces;
        }
        rest = after;
    }
}

/// Runs work that blocks or takes long where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(CallError::Internal {
            message: error.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_in_pieces_that_make_it_up() {
        for length in [0, 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let text: String = "aé".chars().cycle().take(length).collect();
            let pieces = pieces("d", &text);
            assert!(pieces.iter().all(|piece| piece.text.len() <= PIECE));
            assert_eq!(
                pieces
                    .iter()
                    .map(|piece| piece.text.as_str())
                    .collect::<String>(),
                text
            );
            let last: Vec<_> = pieces.iter().map(|piece| piece.last).collect();
            assert_eq!(last.iter().filter(|last| **last).count(), 1);
            assert_eq!(last.last(), Some(&true));
        }
    }
}
