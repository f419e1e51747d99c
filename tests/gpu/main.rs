//! The collector through the real NVML wrapper, over a stand-in of the driver's library.

mod collector;
mod fake_kubelet;
mod kubelet;
mod program;
mod stand_in;
