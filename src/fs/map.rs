//! Mapped files: the one `unsafe` call of the storage wing, and its plain twin.

use std::fs::File;
use std::io;

use memmap2::Mmap;

use super::Mapping;
use super::bus_error::Guard;

/// A mapped file. The guard goes before the map.
#[derive(Debug)]
pub(super) struct MappedFile {
    guard: Guard,
    map: Mmap,
    /// Kept to see whether the file was cut off.
    file: File,
}

impl Mapping for MappedFile {
    fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn is_sound(&self) -> bool {
        !self.guard.is_hit()
    }

    fn is_whole(&self) -> bool {
        self.file.metadata().is_ok_and(|facts| facts.len() >= self.map.len() as u64)
    }
}

/// A file read into memory: the plain twin of a mapped one.
#[derive(Debug)]
pub(super) struct LoadedFile(pub(super) Vec<u8>);

impl Mapping for LoadedFile {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Maps the whole of `file` for reading.
pub(super) fn map_file(file: File) -> io::Result<MappedFile> {
    // SAFETY: a map is sound while nobody changes the file under it. What a failing disk or a careless hand does to it
    // costs a signal, which `bus_error` turns into zeros, and every byte is checked before it is believed. Only immutable files are mapped: they are written
    // under a temporary name, renamed when complete, never opened for writing again, and removed by unlinking, which
    // leaves the mapped pages alone. The directory lock keeps other processes of this program away.
    #[expect(unsafe_code, reason = "mapping is what lets the page cache serve segments without copies")]
    let map = unsafe { Mmap::map(&file)? };
    let guard = Guard::new(&map);
    Ok(MappedFile { guard, map, file })
}
