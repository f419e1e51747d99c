//! Checked bytes: a page is compared with its checksum before its first use.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::encoding::Checksum;

use super::{SegmentError, Source};

/// Bytes that one checksum covers; the last page of a file may be shorter.
pub(super) const PAGE_BYTES: u64 = 16 * 1024;
/// Bytes of one checksum in the table.
const SUM_BYTES: u64 = 4;

/// Covers the segment's identity and the page's place beside its bytes, so that a page of another file or from
/// another place does not pass.
fn page_checksum(id: u128, offset: u64, bytes: &[u8]) -> u32 {
    Checksum::default().with(&id.to_le_bytes()).with(&offset.to_le_bytes()).with(bytes).value()
}

/// The checksum of the checksum table.
pub(super) fn table_checksum(id: u128, table: &[u8]) -> u32 {
    Checksum::default().with(&id.to_le_bytes()).with(table).value()
}

/// Bytes of the table for a body of so many bytes.
pub(super) const fn table_bytes(body_bytes: u64) -> u64 {
    body_bytes.div_ceil(PAGE_BYTES) * SUM_BYTES
}

/// Writes the body of a file and sums up its pages on the way.
pub(super) struct PageWriter<W> {
    out: W,
    id: u128,
    offset: u64,
    page: Vec<u8>,
    table: Vec<u8>,
}

impl<W: Write> PageWriter<W> {
    pub(super) fn new(out: W, id: u128) -> Self {
        Self { out, id, offset: 0, page: Vec::with_capacity(PAGE_BYTES as usize), table: Vec::new() }
    }

    /// Where the next byte will stand.
    pub(super) fn offset(&self) -> u64 {
        self.offset + self.page.len() as u64
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = PAGE_BYTES as usize - self.page.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.page.extend_from_slice(now);
            rest = later;
            if self.page.len() == PAGE_BYTES as usize {
                self.end_page()?;
            }
        }
        Ok(())
    }

    /// Ends the body; returns its length, the table, and the output for what follows.
    pub(super) fn finish(mut self) -> io::Result<(u64, Vec<u8>, W)> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        Ok((self.offset, self.table, self.out))
    }

    fn end_page(&mut self) -> io::Result<()> {
        let sum = page_checksum(self.id, self.offset, &self.page);
        self.table.extend_from_slice(&sum.to_le_bytes());
        self.out.write_all(&self.page)?;
        self.offset += self.page.len() as u64;
        self.page.clear();
        Ok(())
    }
}

/// The body of an open file. Checks each page once, when it is first used.
pub(super) struct Pages {
    source: Arc<dyn Source>,
    id: u128,
    body_bytes: u64,
    table_sum: u32,
    table_checked: AtomicBool,
    /// One bit per page: it has passed.
    checked: Box<[AtomicU64]>,
}

impl Pages {
    /// The body is the file's first `body_bytes`, the table follows it; the caller has checked that both are there.
    pub(super) fn new(source: Arc<dyn Source>, id: u128, body_bytes: u64, table_sum: u32) -> Self {
        let words = body_bytes.div_ceil(PAGE_BYTES).div_ceil(64);
        let checked = (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { source, id, body_bytes, table_sum, table_checked: AtomicBool::new(false), checked }
    }

    /// What errors call the file.
    pub(super) fn name(&self) -> &str {
        self.source.name()
    }

    /// Checked bytes of the body. `range` lies within it.
    pub(super) fn bytes(&self, range: Range<u64>) -> Result<&[u8], SegmentError> {
        assert!(range.start <= range.end && range.end <= self.body_bytes, "parts lie within the body");
        let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
        if !range.is_empty() && pages.clone().any(|page| !self.is_checked(page)) {
            self.check(pages)?;
        }
        Ok(&self.source.bytes()[to_usize(range)])
    }

    fn is_checked(&self, page: u64) -> bool {
        self.checked[(page / 64) as usize].load(Ordering::Relaxed) >> (page % 64) & 1 == 1
    }

    fn check(&self, pages: Range<u64>) -> Result<(), SegmentError> {
        let table = self.table()?;
        let bytes = pages.start * PAGE_BYTES..self.body_bytes.min(pages.end * PAGE_BYTES);
        self.source.ensure(std::slice::from_ref(&bytes))?;
        for page in pages.filter(|page| !self.is_checked(*page)) {
            let offset = page * PAGE_BYTES;
            let range = offset..self.body_bytes.min(offset + PAGE_BYTES);
            let sum = page_checksum(self.id, offset, &self.source.bytes()[to_usize(range)]);
            if table[to_usize(page * SUM_BYTES..(page + 1) * SUM_BYTES)] != sum.to_le_bytes() {
                return Err(self.corrupt(offset, "page checksum differs"));
            }
            self.checked[(page / 64) as usize].fetch_or(1 << (page % 64), Ordering::Relaxed);
        }
        Ok(())
    }

    fn table(&self) -> Result<&[u8], SegmentError> {
        let range = self.body_bytes..self.body_bytes + table_bytes(self.body_bytes);
        if !self.table_checked.load(Ordering::Relaxed) {
            self.source.ensure(std::slice::from_ref(&range))?;
        }
        let table = &self.source.bytes()[to_usize(range)];
        if !self.table_checked.load(Ordering::Relaxed) {
            if table_checksum(self.id, table) != self.table_sum {
                return Err(self.corrupt(self.body_bytes, "checksum of the checksum table differs"));
            }
            self.table_checked.store(true, Ordering::Relaxed);
        }
        Ok(table)
    }

    fn corrupt(&self, offset: u64, rule: &'static str) -> SegmentError {
        SegmentError::Corrupt { name: self.name().to_owned(), offset, rule }
    }
}

/// The range as indices of a slice that is known to hold it.
pub(super) fn to_usize(range: Range<u64>) -> Range<usize> {
    let index = |offset| usize::try_from(offset).expect("the file is mapped, so its offsets are indices");
    index(range.start)..index(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::BytesSource;

    fn written(len: usize) -> (Vec<u8>, u64, u32) {
        let body: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        let mut file = Vec::new();
        let mut writer = PageWriter::new(&mut file, 42);
        writer.put(&body[..len / 3]).expect("a vector takes all bytes");
        writer.put(&body[len / 3..]).expect("a vector takes all bytes");
        let (body_bytes, table, _) = writer.finish().expect("a vector takes all bytes");
        let sum = table_checksum(42, &table);
        file.extend_from_slice(&table);
        (file, body_bytes, sum)
    }

    #[test]
    fn sound_pages_pass_and_others_do_not() {
        let (file, body_bytes, sum) = written(40_000);
        let pages = Pages::new(Arc::new(BytesSource::new("x", file.clone())), 42, body_bytes, sum);
        assert_eq!(pages.bytes(16_000..33_000).expect("sound"), &file[16_000..33_000]);
        assert!(pages.bytes(5..5).expect("sound").is_empty());
        let mut damaged = file.clone();
        damaged[20_000] ^= 1;
        let pages = Pages::new(Arc::new(BytesSource::new("x", damaged)), 42, body_bytes, sum);
        assert!(pages.bytes(0..16_384).is_ok(), "damage elsewhere does not matter");
        let error = pages.bytes(16_380..16_390).expect_err("the second page is damaged");
        assert_eq!(error.to_string(), "x: corrupt at byte 16384: page checksum differs");
        let other = Pages::new(Arc::new(BytesSource::new("x", file)), 43, body_bytes, sum);
        assert!(other.bytes(0..1).is_err(), "pages of another segment do not pass");
    }
}
