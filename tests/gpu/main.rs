//! The collector through the real NVML wrapper, over a stand-in of the driver's library.

mod collector;
mod program;
mod stand_in;
