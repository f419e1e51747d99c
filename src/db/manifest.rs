//! The manifest: which segments are live, and how far the log is in them.
//!
//! It changes by writing a new one, syncing it, renaming it and syncing the directory; the one before is kept. Bytes:
//! `storage-format.md`, "Manifest".

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::encoding::{ByteReader, ByteWriter, DecodeError, checksum};
use crate::fs::Fs;
use crate::model::Timestamp;

use super::StorageError;
use super::deletion::Deletion;
use super::reserve::Reserve;

const MAGIC: [u8; 8] = *b"perduman";
const VERSION: u32 = 0;
const NAME_START: &str = "manifest-";
const TEMPORARY_NAME: &str = "manifest.tmp";

/// What a manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Rises with each one written.
    pub(super) generation: u64,
    /// Everything up to here is in segments.
    pub(super) flushed_seq: u64,
    /// No log file with this number or a higher one was begun before.
    pub(super) next_log: u64,
    /// No segment with this number or a higher one was begun before.
    pub(super) next_segment: u64,
    /// Numbers of the live segments.
    pub(super) segments: BTreeSet<u64>,
    /// What is hidden of them, in the order of sequence numbers.
    pub(super) deletions: Vec<Arc<Deletion>>,
    /// Time that retention counted from.
    pub(super) retention_from: Option<Timestamp>,
}

impl Manifest {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::default();
        out.put(&MAGIC);
        out.put_u32(VERSION);
        for number in [self.generation, self.flushed_seq, self.next_log, self.next_segment] {
            out.put_varint(number);
        }
        out.put_varint(self.segments.len() as u64);
        let mut last = 0;
        for number in &self.segments {
            out.put_varint(number - last);
            last = *number;
        }
        out.put_varint(self.deletions.len() as u64);
        self.deletions.iter().for_each(|deletion| deletion.put(&mut out));
        out.put_u8(u8::from(self.retention_from.is_some()));
        out.put_signed(self.retention_from.unwrap_or(0));
        let sum = checksum(out.as_slice());
        out.put_u32(sum);
        out.into_bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let cut_off = DecodeError { offset: 0, rule: "manifest is cut off" };
        let body_len = bytes.len().checked_sub(4).ok_or(cut_off)?;
        let (body, sum) = bytes.split_at(body_len);
        let mut reader = ByteReader::new(body);
        if reader.array::<8>()? != MAGIC {
            return Err(DecodeError { offset: 0, rule: "file is not a manifest" });
        }
        if checksum(body).to_le_bytes() != *sum {
            return Err(DecodeError { offset: body_len as u64, rule: "manifest does not fit its checksum" });
        }
        if reader.u32()? != VERSION {
            return Err(DecodeError { offset: 8, rule: "manifest format is newer than this program reads" });
        }
        let mut manifest = Self {
            generation: reader.varint()?,
            flushed_seq: reader.varint()?,
            next_log: reader.varint()?,
            next_segment: reader.varint()?,
            segments: BTreeSet::new(),
            deletions: Vec::new(),
            retention_from: None,
        };
        let mut number = 0_u64;
        for _ in 0..reader.count(1)? {
            let place = reader.error("segment numbers do not rise");
            number = number.checked_add(reader.varint()?).ok_or(place)?;
            manifest.segments.insert(number);
        }
        for _ in 0..reader.count(5)? {
            manifest.deletions.push(Arc::new(Deletion::read(&mut reader)?));
        }
        let is_known = reader.u8()? == 1;
        let from = reader.signed()?;
        manifest.retention_from = is_known.then_some(from);
        reader.finish()?;
        Ok(manifest)
    }
}

/// The manifests of a directory.
#[derive(Debug)]
pub(super) struct ManifestStore {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    /// Given up where there is no room for a manifest.
    reserve: Option<Reserve>,
}

/// What [`ManifestStore::load`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// None: the directory is new.
    Nothing,
    /// The newest one.
    Newest(Manifest),
    /// The newest one is damaged. An older one, or an empty one: its numbers are lower bounds.
    Damaged(Manifest),
}

/// A manifest could not be written.
#[derive(Debug)]
pub(super) struct WriteFailure {
    pub(super) error: StorageError,
    /// It may still come to light after a crash: what it names must stay.
    pub(super) may_exist: bool,
}

impl ManifestStore {
    pub(super) fn new(fs: Arc<dyn Fs>, root: PathBuf, reserve: Option<Reserve>) -> Self {
        Self { fs, root, reserve }
    }

    /// Keeps room for the next manifests, where that is asked for and there is some.
    pub(super) fn take_reserve(&self) {
        if let Some(reserve) = &self.reserve {
            reserve.take();
        }
    }

    fn generations(&self) -> Result<BTreeSet<u64>, StorageError> {
        let names = self.fs.list(&self.root).map_err(|error| StorageError::io("list", &self.root, error))?;
        Ok(names.iter().filter_map(|name| generation_of(name)).collect())
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.root.join(format!("{NAME_START}{generation:016x}"))
    }

    /// Reads the newest manifest.
    pub(super) fn load(&self) -> Result<Loaded, StorageError> {
        let generations = self.generations()?;
        let Some(newest) = generations.last() else { return Ok(Loaded::Nothing) };
        for generation in generations.iter().rev() {
            let path = self.path(*generation);
            let bytes = self.fs.read(&path).map_err(|error| StorageError::io("read", &path, error))?;
            match Manifest::parse(&bytes) {
                Ok(manifest) if generation == newest => return Ok(Loaded::Newest(manifest)),
                Ok(manifest) => return Ok(Loaded::Damaged(Manifest { generation: *newest, ..manifest })),
                Err(error) => warn_damaged(&path, &error),
            }
        }
        Ok(Loaded::Damaged(Manifest { generation: *newest, ..Manifest::default() }))
    }

    /// Writes the next manifest; removes all but it and the one before.
    pub(super) fn write(&self, manifest: &Manifest) -> Result<(), WriteFailure> {
        let temporary = self.root.join(TEMPORARY_NAME);
        let path = self.path(manifest.generation);
        let mut written = self.write_temporary(&temporary, manifest);
        let is_full = |error: &StorageError| matches!(error, StorageError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull);
        if written.as_ref().is_err_and(is_full) && self.reserve.as_ref().is_some_and(Reserve::give) {
            written = self.write_temporary(&temporary, manifest);
        }
        written.map_err(|error| WriteFailure { error, may_exist: false })?;
        let renamed = self
            .fs
            .rename(&temporary, &path)
            .map_err(|error| StorageError::io("rename", &temporary, error))
            .and_then(|()| {
                let synced = self.fs.sync_dir(&self.root);
                synced.map_err(|error| StorageError::io("sync", &self.root, error))
            });
        renamed.map_err(|error| WriteFailure { error, may_exist: true })?;
        self.remove_old(manifest.generation);
        Ok(())
    }

    fn write_temporary(&self, path: &Path, manifest: &Manifest) -> Result<(), StorageError> {
        // One that an earlier try left. Where there is none this fails, and creating succeeds.
        let _ = self.fs.remove(path);
        let mut file = self.fs.create(path).map_err(|error| StorageError::io("create", path, error))?;
        let written = file.append(&manifest.to_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| StorageError::io("write", path, error))
    }

    /// A manifest that stays although it should go is removed next time.
    fn remove_old(&self, generation: u64) {
        let Ok(generations) = self.generations() else { return };
        let kept = generations.range(..generation).next_back().copied();
        for old in generations.range(..generation).filter(|old| Some(**old) != kept) {
            let _ = self.fs.remove(&self.path(*old));
        }
    }
}

fn generation_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME_START)?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

fn warn_damaged(path: &Path, error: &DecodeError) {
    tracing::warn!(path = %path.display(), %error, "manifest is damaged");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use crate::model::{MatchOp, Matcher, TenantId, TimeSpan};

    fn manifest(generation: u64) -> Manifest {
        let matchers = vec![
            Matcher::equal("job", "a"),
            Matcher::new("zone", MatchOp::NotRegex, "x|y").expect("the pattern is sound"),
        ];
        let span = TimeSpan::new(-5, i64::MAX);
        let deletion = Deletion { seq: 98, tenant: TenantId::new("t"), span, matchers };
        Manifest {
            generation,
            flushed_seq: 99,
            next_log: 3,
            next_segment: 8,
            segments: BTreeSet::from([1, 5, generation + 7]),
            deletions: vec![Arc::new(deletion)],
            retention_from: Some(-7),
        }
    }

    #[test]
    fn the_newest_is_read_and_two_are_kept() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = ManifestStore::new(Arc::new(RealFs::copied()), directory.path().into(), None);
        assert_eq!(store.load().expect("the disk works"), Loaded::Nothing);
        for generation in 1..=4 {
            store.write(&manifest(generation)).expect("the disk works");
        }
        assert_eq!(store.load().expect("the disk works"), Loaded::Newest(manifest(4)));
        assert_eq!(store.generations().expect("the disk works"), BTreeSet::from([3, 4]));
    }

    #[test]
    fn any_damage_is_noticed() {
        let bytes = manifest(1).to_bytes();
        assert_eq!(Manifest::parse(&bytes), Ok(manifest(1)));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::parse(&bytes).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn an_older_one_gives_lower_bounds() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = ManifestStore::new(Arc::new(RealFs::copied()), directory.path().into(), None);
        store.write(&manifest(1)).expect("the disk works");
        store.write(&manifest(2)).expect("the disk works");
        std::fs::write(store.path(2), b"torn").expect("the disk works");
        let expected = Manifest { generation: 2, ..manifest(1) };
        assert_eq!(store.load().expect("the disk works"), Loaded::Damaged(expected));
    }
}
