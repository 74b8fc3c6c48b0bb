//! Names in dialed addresses, resolved as the operating system is set up to.

use std::io;

use libp2p::{
    Multiaddr,
    core::{Transport, transport::Boxed},
    dns,
};

use crate::{BuildError, flatten_error};

/// Resolves names before `inner` dials. Every address that is dialed is taken, also one that
/// `inner` does not handle, so that this must be the last of several transports.
pub(crate) fn wrap<O: Send + 'static>(inner: Boxed<O>) -> Result<Boxed<O>, BuildError> {
    let resolving = dns::tokio::Transport::system(inner).map_err(|error| BuildError::Setup {
        part: "dns",
        source: error.into(),
    })?;
    Ok(resolving.map_err(cause).boxed())
}

/// Why a name led nowhere.
#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("name resolution failed")]
    Resolve(#[source] dns::ResolveError),
    #[error("no transport handles {0}")]
    Unsupported(Multiaddr),
    #[error("the name leads to too many others")]
    TooManyLookups,
    #[error("{0}")]
    Several(String),
}

/// One error instead of a list of one, and a list in one line.
fn cause(error: dns::Error<io::Error>) -> io::Error {
    io::Error::other(match error {
        dns::Error::Transport(error) => return error,
        dns::Error::ResolveError(error) => NameError::Resolve(error),
        dns::Error::MultiaddrNotSupported(address) => NameError::Unsupported(address),
        dns::Error::TooManyLookups => NameError::TooManyLookups,
        dns::Error::Dial(errors) => {
            let mut causes: Vec<_> = errors.into_iter().map(cause).collect();
            match causes.pop() {
                Some(only) if causes.is_empty() => return only,
                last => {
                    causes.extend(last);
                    let lines: Vec<_> = causes.iter().map(|cause| flatten_error(cause)).collect();
                    NameError::Several(lines.join("; "))
                }
            }
        }
    })
}
