//! The values section: frames and timestamp columns in blocks, each packed by general compression where that pays.
//!
//! Layout: `storage-format.md`, "Blocks of values".

use std::cell::RefCell;
use std::io::{self, Write};

use crate::encoding::{ByteReader, ByteWriter, DecodeError};

use super::pages::PageWriter;

/// A block ends with the first item that brings it to so many bytes. Larger blocks pack a few percent better; a single
/// series costs one block.
pub(super) const BLOCK_BYTES: u32 = 4 * 1024;
/// Bytes of a block's entry in the table of blocks.
pub(super) const BLOCK_ENTRY_BYTES: u64 = 8;
/// Most bytes of a block that is packed; longer ones are stored as they are, and bound what a reader allocates.
const PACKED_BYTES_MAX: u64 = 1 << 20;
/// Bytes as they are.
const KIND_PLAIN: u8 = 0;
/// A zstd frame.
const KIND_ZSTD: u8 = 1;
/// Higher levels gain less than a hundredth.
const COMPRESSION_LEVEL: i32 = 3;

/// Where something begins in the values section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u32,
    /// Within the unpacked block.
    pub(super) offset: u32,
}

impl Place {
    /// Where the item after one of so many bytes begins.
    pub(super) fn after(self, bytes: u32) -> Option<Self> {
        let offset = self.offset.checked_add(bytes)?;
        if offset >= BLOCK_BYTES {
            Some(Self { block: self.block.checked_add(1)?, offset: 0 })
        } else {
            Some(Self { offset, ..self })
        }
    }
}

/// Gathers items into blocks and writes these as they fill.
pub(super) struct BlockWriter {
    block: Vec<u8>,
    number: u32,
    /// First byte of the section in the file.
    start: u64,
    table: ByteWriter,
    compressor: zstd::bulk::Compressor<'static>,
}

impl BlockWriter {
    /// For a section that begins at `start`.
    pub(super) fn new(start: u64) -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?;
        Ok(Self { block: Vec::new(), number: 0, start, table: ByteWriter::default(), compressor })
    }

    /// Where the next byte will stand.
    pub(super) fn place(&self) -> Place {
        let offset = u32::try_from(self.block.len()).expect("items are shorter than 4 GiB");
        Place { block: self.number, offset }
    }

    /// Appends a part of an item.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    /// Ends an item, and with it the block if that is full.
    pub(super) fn end_item<W: Write>(&mut self, pages: &mut PageWriter<W>) -> io::Result<()> {
        if self.block.len() < BLOCK_BYTES as usize { Ok(()) } else { self.end_block(pages) }
    }

    /// Ends the section; returns the table of blocks.
    pub(super) fn finish<W: Write>(mut self, pages: &mut PageWriter<W>) -> io::Result<Vec<u8>> {
        if !self.block.is_empty() {
            self.end_block(pages)?;
        }
        Ok(self.table.into_bytes())
    }

    fn end_block<W: Write>(&mut self, pages: &mut PageWriter<W>) -> io::Result<()> {
        self.table.put_u64(pages.offset() - self.start);
        self.number = self.number.checked_add(1).expect("blocks of 16 TiB");
        match pack(&self.block, &mut self.compressor)? {
            Some(packed) => pages.put(&packed)?,
            None => {
                pages.put(&[KIND_PLAIN])?;
                pages.put(&self.block)?;
            }
        }
        self.block.clear();
        Ok(())
    }
}

/// A block as it is stored packed; `None` where that saves less than a tenth.
fn pack(block: &[u8], compressor: &mut zstd::bulk::Compressor<'_>) -> io::Result<Option<Vec<u8>>> {
    if block.len() as u64 > PACKED_BYTES_MAX {
        return Ok(None);
    }
    let packed = compressor.compress(block)?;
    if packed.len() + 5 > block.len() - block.len() / 10 {
        return Ok(None);
    }
    let mut out = ByteWriter::default();
    out.put_u8(KIND_ZSTD);
    out.put_u32(u32::try_from(block.len()).expect("at most a mebibyte"));
    out.put(&packed);
    Ok(Some(out.into_bytes()))
}

/// A stored block.
pub(super) enum Block<'a> {
    /// Its bytes stand in the file.
    Plain(ByteReader<'a>),
    /// Unpacked bytes, and where the block stands.
    Unpacked(Vec<u8>, u64),
}

/// Reads a stored block. Its bytes have passed their checksum.
pub(super) fn read_block(mut reader: ByteReader<'_>) -> Result<Block<'_>, DecodeError> {
    let start = reader.clone();
    match reader.u8()? {
        KIND_PLAIN => Ok(Block::Plain(reader)),
        KIND_ZSTD => {
            let len = u64::from(reader.u32()?);
            let unpacked = unpack(reader.rest(), len, PACKED_BYTES_MAX);
            let bytes = unpacked.ok_or_else(|| start.error("block cannot be unpacked"))?;
            Ok(Block::Unpacked(bytes, start.offset()))
        }
        _ => Err(start.error("unknown kind of block")),
    }
}

/// Unpacks a zstd frame to exactly `len` bytes, at most `max`.
pub(super) fn unpack(bytes: &[u8], len: u64, max: u64) -> Option<Vec<u8>> {
    thread_local! {
        // A context takes some hundred kilobytes: made anew for each block it would cost more than the block.
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let len = usize::try_from(len).ok().filter(|_| len <= max)?;
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(zstd::bulk::Decompressor::new().ok()?),
        };
        decompressor.decompress(bytes, len).ok().filter(|unpacked| unpacked.len() == len)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_where_places_say() {
        let mut file = Vec::new();
        let mut pages = PageWriter::new(&mut file, 1);
        let mut writer = BlockWriter::new(0).expect("memory suffices");
        let mut place = Place::default();
        let items: Vec<Vec<u8>> = (0..40_usize).map(|i| vec![i as u8; i * 37 + 1]).collect();
        let mut places = Vec::new();
        for item in &items {
            assert_eq!(writer.place(), place);
            places.push(place);
            writer.put(item);
            writer.end_item(&mut pages).expect("a vector takes all bytes");
            place = place.after(u32::try_from(item.len()).expect("short")).expect("few items");
        }
        let table = writer.finish(&mut pages).expect("a vector takes all bytes");
        pages.finish().expect("a vector takes all bytes");
        let starts: Vec<usize> = table
            .chunks(8)
            .map(|entry| u64::from_le_bytes(entry.try_into().expect("eight bytes")) as usize)
            .collect();
        for (item, place) in items.iter().zip(places) {
            let at = place.block as usize;
            let end = starts.get(at + 1).copied().unwrap_or(file.len());
            let block = match read_block(ByteReader::new(&file[starts[at]..end])).expect("sound") {
                Block::Plain(mut reader) => reader.rest().to_vec(),
                Block::Unpacked(bytes, _) => bytes,
            };
            assert_eq!(&block[place.offset as usize..][..item.len()], item.as_slice());
        }
        assert!(file.len() < items.iter().map(Vec::len).sum::<usize>() / 4, "runs of bytes are packed");
    }

    #[test]
    fn false_lengths_are_refused() {
        let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL).expect("memory suffices");
        let packed = pack(&[7; 2_000], &mut compressor).expect("packs").expect("it pays");
        assert!(read_block(ByteReader::new(&packed)).is_ok());
        for len in [0_u32, 1_999, 2_001, u32::MAX] {
            let mut damaged = packed.clone();
            damaged[1..5].copy_from_slice(&len.to_le_bytes());
            assert!(read_block(ByteReader::new(&damaged)).is_err(), "{len}");
        }
        assert!(read_block(ByteReader::new(&[])).is_err() && read_block(ByteReader::new(&[9])).is_err());
    }
}
