//! The `edge-lb` binary.
fn main() {}
