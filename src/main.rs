//! perdura: flags and wiring; no logic.

fn main() {}
