//! The program as its users have it: real processes, real sockets on 127.0.0.1.

mod access;
mod any;
mod authority;
mod bench;
mod config;
mod demo;
mod exits;
mod help;
mod identity;
mod networks;
mod programs;
mod registry;
mod searching;
mod serving;
mod support;
mod times;
mod tutorial;
mod unix;
