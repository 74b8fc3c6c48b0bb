//! The gaters, seen from outside.

mod conformance;
