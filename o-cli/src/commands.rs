//! From the words on the command line to the command, and from its end to the exit status.

mod answer;
mod bench;
mod call;
mod completions;
mod config;
mod describe;
mod find;
mod id;
mod peers;
