//! Builds the stand-in of the driver's library, loads it beside the collector, and moves its knobs.
#![expect(unsafe_code, reason = "a library is loaded and called")]

use std::path::{Path, PathBuf};
use std::process::Command;

use libloading::{Library, Symbol};
use tempfile::TempDir;

/// What a test can do to a GPU of the stand-in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Knob {
    /// Calls on the GPU do not come back while it is not 0.
    Hang = 0,
    /// The GPU fell off the bus.
    Lost = 1,
    /// How many MIG devices there are; with any, the GPU is in MIG mode.
    Mig = 2,
    /// There is no driver any more; of GPU 0, for all.
    NoDriver = 3,
    /// Utilization in percent.
    Util = 4,
    /// Performance monitoring is not permitted.
    DenyGpm = 5,
    /// MIG devices are compute instances that share a GPU instance by twos.
    Shared = 6,
    /// Processes may not be looked at.
    DenyProcesses = 7,
}

/// A library of a test's own: its state is shared with nobody else's.
pub(crate) struct StandIn {
    library: Library,
    path: PathBuf,
    _folder: TempDir,
}

impl StandIn {
    pub(crate) fn new() -> Self {
        Self::build(&[])
    }

    /// A driver without the symbols that came with 510 and later.
    pub(crate) fn old() -> Self {
        Self::build(&["--cfg", "old_driver"])
    }

    fn build(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("libnvidia-ml.so.1");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gpu/libnvidia_ml.rs");
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let built = Command::new(compiler)
            .args(["--edition=2024", "-O", "--crate-name", "nvidia_ml", "-A", "warnings"])
            .args(flags)
            .arg("-o")
            .args([&path, &source])
            .status()
            .expect("rustc runs");
        assert!(built.success(), "the stand-in compiles");
        // SAFETY: the library is ours and does nothing when it is loaded.
        let library = unsafe { Library::new(&path) }.expect("the stand-in loads");
        Self { library, path, _folder: folder }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn set(&self, knob: Knob, gpu: u64, value: u64) {
        // SAFETY: the stand-in has this function with this signature.
        let set: Symbol<'_, extern "C" fn(u64, u64, u64)> =
            unsafe { self.library.get(b"stand_in_set") }.expect("the stand-in has its knobs");
        set(knob as u64, gpu, value);
    }

    pub(crate) fn xid(&self, gpu: u64, xid: u64) {
        // SAFETY: as above.
        let send: Symbol<'_, extern "C" fn(u64, u64)> =
            unsafe { self.library.get(b"stand_in_xid") }.expect("the stand-in sends XIDs");
        send(gpu, xid);
    }

    /// Samples of performance monitoring that are allocated and not freed.
    pub(crate) fn live_samples(&self) -> u64 {
        // SAFETY: as above.
        let live: Symbol<'_, extern "C" fn() -> u64> =
            unsafe { self.library.get(b"stand_in_live_samples") }.expect("the stand-in counts samples");
        live()
    }

    /// Puts a process on a GPU, or on one of its MIG devices, counted from 0.
    pub(crate) fn process(&self, gpu: u64, mig: Option<u64>, pid: u64, memory_bytes: u64, sm_percent: u64) {
        // SAFETY: as above.
        let start: Symbol<'_, extern "C" fn(u64, u64, u64, u64, u64)> =
            unsafe { self.library.get(b"stand_in_process") }.expect("the stand-in has processes");
        start(gpu, mig.map_or(0, |mig| mig + 1), pid, memory_bytes, sm_percent);
    }

    pub(crate) fn end_process(&self, pid: u64) {
        // SAFETY: as above.
        let end: Symbol<'_, extern "C" fn(u64)> =
            unsafe { self.library.get(b"stand_in_end_process") }.expect("the stand-in has processes");
        end(pid);
    }
}
