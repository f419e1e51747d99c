//! Mapped files: the one `unsafe` call of the storage wing, and its plain twin.

use std::fs::File;
use std::io;

use memmap2::Mmap;

use super::Mapping;

/// A mapped file.
#[derive(Debug)]
pub(super) struct MappedFile(Mmap);

impl Mapping for MappedFile {
    fn bytes(&self) -> &[u8] {
        &self.0
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
pub(super) fn map_file(file: &File) -> io::Result<MappedFile> {
    // SAFETY: a map is sound while nobody changes the file under it. Only immutable files are mapped: they are written
    // under a temporary name, renamed when complete, never opened for writing again, and removed by unlinking, which
    // leaves the mapped pages alone. The directory lock keeps other processes of this program away.
    #[expect(unsafe_code, reason = "mapping is what lets the page cache serve segments without copies")]
    let map = unsafe { Mmap::map(file)? };
    Ok(MappedFile(map))
}
