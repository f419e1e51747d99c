//! The collector through the real NVML wrapper, over a stand-in of the driver's library.

mod collector;
mod stand_in;
