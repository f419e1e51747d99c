//! How far a receiver has confirmed the log: one small file for each, replaced by renaming. Bytes:
//! `storage-format.md`, "Remote-write queue".

use std::io;
use std::path::Path;

use crate::encoding::{ByteReader, ByteWriter, DecodeError, checksum};
use crate::fs::Fs;

const MAGIC: [u8; 8] = *b"perdupos";
const VERSION: u32 = 0;
const BODY_BYTES: usize = 20;

/// The bytes that say that every batch with a sequence number up to `seq` is confirmed.
pub fn write_position(seq: u64) -> Vec<u8> {
    let mut out = ByteWriter::default();
    out.put(&MAGIC);
    out.put_u32(VERSION);
    out.put_u64(seq);
    let sum = checksum(out.as_slice());
    out.put_u32(sum);
    out.into_bytes()
}

/// The inverse of [`write_position`].
pub fn read_position(bytes: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = ByteReader::new(bytes);
    if reader.array::<8>()? != MAGIC {
        return Err(DecodeError { offset: 0, rule: "file is not a position" });
    }
    let version = reader.u32()?;
    let seq = reader.u64()?;
    if reader.u32()? != checksum(&bytes[..BODY_BYTES]) {
        return Err(DecodeError { offset: BODY_BYTES as u64, rule: "position does not fit its checksum" });
    }
    if version != VERSION {
        return Err(DecodeError { offset: 8, rule: "position format is newer than this program reads" });
    }
    reader.finish()?;
    Ok(seq)
}

/// Replaces the file at `path`. After a power cut it holds this position or an earlier one.
pub(super) fn store_position(fs: &dyn Fs, path: &Path, seq: u64) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    match fs.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs.create(&temporary)?;
    file.append(&write_position(seq))?;
    file.sync_data()?;
    fs.rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_and_damage_is_noticed() {
        let bytes = write_position(1_700_000_000_123_456);
        assert_eq!(bytes.len(), 24);
        assert_eq!(read_position(&bytes), Ok(1_700_000_000_123_456));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read_position(&damaged).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(read_position(&bytes[..end]).is_err(), "cut at {end}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert!(read_position(&longer).is_err());
    }
}
