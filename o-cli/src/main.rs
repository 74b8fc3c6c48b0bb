//! The program `o`: serve, find and call agents from a shell.

fn main() {}
