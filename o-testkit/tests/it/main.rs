//! The suites, run against what is here and against what is broken on purpose; and whole networks.

mod broken_callers;
mod broken_discovery;
mod broken_gaters;
mod broken_others;
mod broken_transports;
mod faults;
mod lifecycle;
mod refusals;
mod suites;
mod support;
mod three_agents;
