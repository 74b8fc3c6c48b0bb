//! Telling a peer that its connection is not wanted.

use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    frame::{self, Kind},
    header::Goodbye,
};

/// Bytes that a refused peer may send before the stream is closed on it. They are read and dropped:
/// it bounds work, not memory.
const PATIENCE: usize = 256 * 1024;

/// Says GOODBYE on a substream that the other side opened, and closes it: when the other side does,
/// or after `limit`.
///
/// # Cancel safety
/// Dropping the future closes the substream; the other side may not have been told.
pub async fn refuse<S>(mut stream: S, goodbye: &Goodbye, limit: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let talk = async {
        let mut out = Vec::new();
        frame::encode(&mut out, Kind::Goodbye, 0, 0, &goodbye.encode(), &[])
            .map_err(std::io::Error::other)?;
        stream.write_all(&out).await?;
        stream.flush().await?;
        // Closing while the other side still sends could cost it our last words: read on.
        let mut scratch = [0; 1024];
        let mut total = 0;
        while total < PATIENCE {
            match stream.read(&mut scratch).await? {
                0 => break,
                count => total += count,
            }
        }
        stream.close().await
    };
    match tokio::time::timeout(limit, talk).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::trace!(%error, "a refused peer left early"),
        Err(_) => tracing::trace!("a refused peer did not leave by itself"),
    }
}
