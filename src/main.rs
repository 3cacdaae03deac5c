//! The m3a3 binary.

fn main() {}
