//! The collector through the real NVML wrapper, over a stand-in of the driver's library; and over a simulated fleet.

mod collector;
mod fake_kubelet;
mod kubelet;
mod program;
mod questions;
mod simulation;
mod stand_in;
mod users;
