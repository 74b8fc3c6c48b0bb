//! The text agent: takes documents piece by piece and streams back what they say.

use std::collections::{HashMap, VecDeque};

use futures::{Stream, stream};
use o_core::CallError;
use o_node::{Methods, TypedStream};

use super::{
    files::blocking,
    rank::{MAX_SENTENCES, Ranking},
    sentences::sentences,
    wire::{KEYWORDS, KeywordsParams, Picked, Piece, SUMMARIZE},
    words::words,
};

/// Sentences picked for each document, and for all of them together.
const PER_DOCUMENT: usize = 2;
const OVERALL: usize = 3;
/// Sentences of each document that are ranked against those of the others.
const SHORTLISTED: usize = 8;
/// Keywords of a text, and the longest text that they are looked for in, in bytes.
const KEYWORDS_OF: usize = 5;
const MAX_KEYWORD_TEXT: usize = 64 * 1024;
/// Largest document, in bytes, and most documents of a call.
const MAX_DOCUMENT: usize = 1024 * 1024;
const MAX_DOCUMENTS: usize = 256;

/// The methods of the text agent.
pub(super) fn methods() -> Methods {
    Methods::new()
        .bidirectional(SUMMARIZE.1, async |_, pieces: TypedStream<Piece>| {
            Ok::<_, CallError>(summarize(pieces))
        })
        .describe(
            "Picks the sentences that say most (LexRank): of each document as soon as it has come, \
             and of all documents at the end.",
        )
        .idempotent()
        .unary(KEYWORDS.1, async |_, params: KeywordsParams| {
            keywords(&params.text)
        })
        .describe("The words of a text that come most often, the most frequent first.")
        .idempotent()
}

fn keywords(text: &str) -> Result<Vec<String>, CallError> {
    if text.len() > MAX_KEYWORD_TEXT {
        return Err(CallError::TooLarge {
            what: format!("a text over {MAX_KEYWORD_TEXT} bytes"),
        });
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in words(text) {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
    Ok(counts
        .into_iter()
        .map(|(word, _)| word)
        .take(KEYWORDS_OF)
        .collect())
}

/// The picked sentences of documents that arrive piece by piece.
fn summarize<S>(pieces: S) -> impl Stream<Item = Result<Picked, CallError>> + Send + 'static
where
    S: Stream<Item = Result<Piece, CallError>> + Send + 'static,
{
    let summary = Summary {
        pieces: Box::pin(pieces),
        ..Summary::default()
    };
    stream::try_unfold(summary, |mut summary| async move {
        let next = summary.next().await?;
        Ok(next.map(|picked| (picked, summary)))
    })
}

/// A summary in the making.
struct Summary {
    pieces: stream::BoxStream<'static, Result<Piece, CallError>>,
    /// The document whose pieces arrive.
    open: Option<(String, String)>,
    documents: usize,
    /// Sentences that the caller has not taken yet.
    ready: VecDeque<Picked>,
    /// The best of each document, for the end.
    shortlist: Vec<(String, String)>,
    ended: bool,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            pieces: Box::pin(stream::empty()),
            open: None,
            documents: 0,
            ready: VecDeque::new(),
            shortlist: Vec::new(),
            ended: false,
        }
    }
}

impl Summary {
    async fn next(&mut self) -> Result<Option<Picked>, CallError> {
        loop {
            if let Some(picked) = self.ready.pop_front() {
                return Ok(Some(picked));
            }
            if self.ended {
                return Ok(None);
            }
            match futures::StreamExt::next(&mut self.pieces).await {
                Some(piece) => self.take(piece?).await?,
                None => {
                    self.close().await?;
                    self.conclude().await?;
                    self.ended = true;
                }
            }
        }
    }

    async fn take(&mut self, piece: Piece) -> Result<(), CallError> {
        if self
            .open
            .as_ref()
            .is_some_and(|(name, _)| *name != piece.document)
        {
            self.close().await?;
        }
        let (_, text) = self
            .open
            .get_or_insert_with(|| (piece.document, String::new()));
        text.push_str(&piece.text);
        if text.len() > MAX_DOCUMENT {
            return Err(CallError::TooLarge {
                what: format!("a document over {MAX_DOCUMENT} bytes"),
            });
        }
        if piece.last {
            self.close().await?;
        }
        Ok(())
    }

    /// Ranks the document whose last piece has come.
    async fn close(&mut self) -> Result<(), CallError> {
        let Some((document, text)) = self.open.take() else {
            return Ok(());
        };
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            return Err(CallError::TooLarge {
                what: format!("more than {MAX_DOCUMENTS} documents"),
            });
        }
        let (picked, shortlist) = blocking(move || {
            let sentences = sentences(&document, &text);
            let ranking = Ranking::of(&sentences);
            let named = |index: usize| Some((document.clone(), sentences.get(index)?.clone()));
            let shortlist: Vec<_> = ranking
                .best(SHORTLISTED)
                .into_iter()
                .filter_map(named)
                .collect();
            Ok((pick(&ranking, PER_DOCUMENT, false, named), shortlist))
        })
        .await?;
        self.ready.extend(picked);
        let room = MAX_SENTENCES.saturating_sub(self.shortlist.len());
        self.shortlist.extend(shortlist.into_iter().take(room));
        Ok(())
    }

    /// Ranks the best sentences of all documents; of one document nothing new would come of it.
    async fn conclude(&mut self) -> Result<(), CallError> {
        if self.documents < 2 {
            return Ok(());
        }
        let shortlist = std::mem::take(&mut self.shortlist);
        let picked = blocking(move || {
            let texts: Vec<&String> = shortlist.iter().map(|(_, sentence)| sentence).collect();
            let ranking = Ranking::of(&texts);
            Ok(pick(&ranking, OVERALL, true, |index| {
                shortlist.get(index).cloned()
            }))
        })
        .await?;
        self.ready.extend(picked);
        Ok(())
    }
}

fn pick(
    ranking: &Ranking,
    most: usize,
    overall: bool,
    named: impl Fn(usize) -> Option<(String, String)>,
) -> Vec<Picked> {
    let scores = ranking.scores();
    let picked = ranking.best(most).into_iter().filter_map(|index| {
        let ((document, sentence), score) = (named(index)?, *scores.get(index)?);
        Some(Picked {
            document,
            sentence,
            score,
            of: scores.len(),
            overall,
        })
    });
    picked.collect()
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, TryStreamExt};

    use super::*;

    const ONE: &str = "Agents find each other by capability. Agents call each other by name over the network.\n\
        Nobody needs a server for agents to find each other. It rains in the mountains.";
    const TWO: &str =
        "A capability is announced by agents. Agents that have the capability are found by it.";

    fn piece(document: &str, text: &str, last: bool) -> Result<Piece, CallError> {
        Ok(Piece {
            document: document.into(),
            text: text.into(),
            last,
        })
    }

    #[tokio::test]
    async fn sentences_come_from_the_documents_and_all_together_at_the_end() {
        let (begin, end) = ONE.split_at(50);
        let pieces = [
            piece("one", begin, false),
            piece("one", end, true),
            piece("two", TWO, false),
        ];
        let picked: Vec<Picked> = summarize(stream::iter(pieces)).try_collect().await.unwrap();
        let documents: Vec<_> = picked
            .iter()
            .map(|p| (p.document.as_str(), p.overall))
            .collect();
        assert_eq!(
            documents[..4],
            [
                ("one", false),
                ("one", false),
                ("two", false),
                ("two", false)
            ]
        );
        assert!(documents.len() > 4 && documents[4..].iter().all(|(_, overall)| *overall));
        for picked in &picked {
            let text = if picked.document == "one" { ONE } else { TWO };
            assert!(
                text.replace('\n', " ").contains(&picked.sentence),
                "{picked:?}"
            );
            assert!(picked.score > 0.0 && picked.score < 1.0 && picked.of > 1);
        }
    }

    #[tokio::test]
    async fn a_document_is_answered_before_the_next_one_comes() {
        let pieces = stream::iter([piece("one", ONE, true)]).chain(stream::pending());
        let mut picked = Box::pin(summarize(pieces));
        assert_eq!(picked.next().await.unwrap().unwrap().document, "one");
    }

    #[tokio::test]
    async fn nothing_in_nothing_out_and_an_error_ends_it() {
        for pieces in [vec![], vec![piece("a", "", true), piece("b", "{}", true)]] {
            assert_eq!(summarize(stream::iter(pieces)).count().await, 0);
        }
        let pieces = [
            piece("one", ONE, true),
            Err(CallError::Cancelled),
            piece("two", TWO, true),
        ];
        let mut picked: Vec<_> = summarize(stream::iter(pieces)).collect().await;
        assert_eq!(picked.pop(), Some(Err(CallError::Cancelled)));
        assert_eq!(picked.len(), 2);
    }

    #[tokio::test]
    async fn a_document_is_not_kept_without_end() {
        let half = "word ".repeat(MAX_DOCUMENT / 8);
        let pieces = (0..3)
            .map(|_| piece("endless", &half, false))
            .collect::<Vec<_>>();
        let picked: Vec<_> = summarize(stream::iter(pieces)).collect().await;
        assert!(matches!(picked[..], [Err(CallError::TooLarge { .. })]));
    }
}
