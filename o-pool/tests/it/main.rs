//! The pool against a dialer whose dials the test answers by hand, in paused time.

mod close;
mod dial;
mod evict;
mod fake;
mod limits;
mod links;
