//! Calls with typed parameters and results: serde and schemars over bodies and schemas.
//!
//! On the one side [`Methods`], an agent made of closures; on the other [`CallerExt`] and [`Call`].
//! Whoever does not want them implements [`o_core::Agent`] and uses [`o_core::Caller`] as they are.
//!
//! An answer has the encoding of the request: that of the parameters' body, also where it is empty
//! because the method takes a stream. A raw request gets a raw answer where the result is bytes or
//! text, and CBOR otherwise. An item of a stream is decoded by its own encoding.

mod call;
mod methods;
mod schema;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use o_core::CallError;

pub use self::{
    call::{Call, CallerExt},
    methods::Methods,
    schema::{params_schema, result_schema},
    stream::TypedStream,
};

/// Turns errors of any kind into the failure of a method: `file.read().or_failed()?`.
///
/// An error type of one's own is converted by `?` if it has `From` into [`CallError`].
pub trait OrFailed<T> {
    /// The error becomes [`CallError::Failed`] with its text, which the caller gets to read; of an
    /// `anyhow::Error` it is the whole chain.
    ///
    /// # Errors
    /// If there was one.
    fn or_failed(self) -> Result<T, CallError>;
}

impl<T, E: Display> OrFailed<T> for Result<T, E> {
    fn or_failed(self) -> Result<T, CallError> {
        self.map_err(|error| CallError::failed(format!("{error:#}")))
    }
}
