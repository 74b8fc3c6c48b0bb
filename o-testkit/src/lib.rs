//! Memory network, fakes and conformance suites for the traits of o-core.
