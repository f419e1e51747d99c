//! Files in memory that fail, tear and forget on demand.
//!
//! Two faults: the n-th call fails, and the power goes off at the n-th call. What a power cut leaves is worked out as a
//! disk would leave it: what was synced is there; of what was not, any 512-byte units may be there, others are zero, and
//! the file may end anywhere; names that were made, changed or removed since their directory was synced are as they
//! were at some moment since. A failed sync forgets what it was to make durable, as Linux does: a later sync of the same
//! file succeeds without it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{AppendFile, DirectoryLock, Fs, Mapping};

/// Bytes that a disk writes as a whole.
const UNIT_BYTES: usize = 512;

/// What a failing call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device has an error.
    Io,
    /// The device is full.
    NoSpace,
}

impl FaultKind {
    fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("injected device error"),
            Self::NoSpace => io::Error::new(io::ErrorKind::StorageFull, "injected full device"),
        }
    }
}

/// What is left of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// All of it: the process was killed, the machine went on.
    KeepAll,
    /// None of it.
    DropUnsynced,
    /// Any of it, by the seed.
    Random(u64),
}

/// Files in memory, with faults. Clones are the same files.
#[derive(Clone, Debug, Default)]
pub struct FaultFs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    fail_at: Option<(u64, FaultKind)>,
    crash_at: Option<u64>,
    is_full: bool,
    /// Bytes that the device holds.
    capacity: Option<u64>,
    is_off: bool,
    contents: HashMap<u64, Content>,
    next_content: u64,
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names since their directory was synced, in order.
    changes: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// The beginning that is durable.
    durable: Vec<u8>,
    /// What failed syncs forgot: it never becomes durable.
    forgotten: Vec<Range<usize>>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Add(path, _) | Self::Remove(path) | Self::Rename(path, _) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Add(path, content) => {
                names.insert(path.clone(), *content);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(content) = names.remove(from) {
                    names.insert(to.clone(), content);
                    return;
                }
                // Of a directory: what lies inside moves with it.
                let inside: Vec<PathBuf> =
                    names.keys().filter(|name| name.starts_with(from)).cloned().collect();
                for name in inside {
                    let content = names.remove(&name).expect("it was just found");
                    let rest = name.strip_prefix(from).expect("it lies inside");
                    names.insert(to.join(rest), content);
                }
            }
        }
    }
}

/// A small generator of pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, both included.
    fn up_to(&mut self, end: usize) -> usize {
        let span = end as u64 + 1;
        usize::try_from(self.next() % span).expect("it is not above a usize")
    }
}

impl Content {
    fn sync(&mut self) {
        let start = self.durable.len();
        self.durable.extend_from_slice(&self.bytes[start..]);
        for range in &self.forgotten {
            self.durable[range.clone()].fill(0);
        }
    }

    /// What a disk holds after the power came back.
    fn after_crash(&self, mode: CrashMode, random: &mut Random) -> Vec<u8> {
        match mode {
            CrashMode::KeepAll => self.bytes.clone(),
            CrashMode::DropUnsynced => self.durable.clone(),
            CrashMode::Random(_) => {
                let mut left = self.durable.clone();
                let end = left.len() + random.up_to(self.bytes.len() - left.len());
                while left.len() < end {
                    let at = left.len();
                    let unit_end = ((at / UNIT_BYTES + 1) * UNIT_BYTES).min(end);
                    if random.next() & 1 == 0 {
                        left.extend_from_slice(&self.bytes[at..unit_end]);
                    } else {
                        left.resize(unit_end, 0);
                    }
                }
                left
            }
        }
    }
}

impl State {
    /// Counts a call, and fails where a fault is due. `writes`: whether the call needs room on the device.
    fn call(&mut self, writes: bool) -> io::Result<()> {
        self.calls += 1;
        if self.crash_at.is_some_and(|at| self.calls >= at) {
            self.is_off = true;
        }
        if self.is_off {
            return Err(io::Error::other("the power is off"));
        }
        if let Some((at, kind)) = self.fail_at
            && at == self.calls
        {
            return Err(kind.error());
        }
        if writes && self.is_full {
            return Err(FaultKind::NoSpace.error());
        }
        Ok(())
    }

    /// Bytes of all files that have a name.
    fn used_bytes(&self) -> u64 {
        let numbers: BTreeSet<&u64> = self.names.values().collect();
        numbers.into_iter().map(|number| self.contents[number].bytes.len() as u64).sum()
    }

    /// Room that is left.
    fn available_bytes(&self) -> u64 {
        match (self.is_full, self.capacity) {
            (true, _) => 0,
            (false, None) => u64::MAX,
            (false, Some(capacity)) => capacity.saturating_sub(self.used_bytes()),
        }
    }

    fn content(&self, path: &Path) -> io::Result<&Content> {
        let number = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(&self.contents[number])
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn sync_directory(&mut self, directory: &Path) {
        let changes = std::mem::take(&mut self.changes);
        for change in changes {
            if change.directory() == Some(directory) {
                change.apply(&mut self.durable_names);
            } else {
                self.changes.push(change);
            }
        }
    }

    /// The names after the power came back: for each directory as they were at some moment since it was synced.
    fn names_after_crash(&self, mode: CrashMode, random: &mut Random) -> BTreeMap<PathBuf, u64> {
        if mode == CrashMode::KeepAll {
            return self.names.clone();
        }
        let mut names = self.durable_names.clone();
        if mode == CrashMode::DropUnsynced {
            return names;
        }
        let directories: BTreeSet<_> = self.changes.iter().filter_map(NameChange::directory).collect();
        for directory in directories {
            let own: Vec<&NameChange> =
                self.changes.iter().filter(|change| change.directory() == Some(directory)).collect();
            let kept = random.up_to(own.len());
            own[..kept].iter().for_each(|change| change.apply(&mut names));
        }
        names
    }
}

impl FaultFs {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        crate::lock::lock(&self.state)
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.lock_state().calls
    }

    /// Lets the `n`-th call from now fail, once; 1 is the next.
    pub fn fail_call(&self, n: u64, kind: FaultKind) {
        let mut state = self.lock_state();
        state.fail_at = Some((state.calls + n, kind));
    }

    /// Lets the power go off at the `n`-th call from now: it and all later ones fail without effect.
    pub fn crash_at_call(&self, n: u64) {
        let mut state = self.lock_state();
        state.crash_at = Some(state.calls + n);
    }

    /// While full, whatever needs room fails.
    pub fn set_full(&self, is_full: bool) {
        self.lock_state().is_full = is_full;
    }

    /// Makes it a device of so many bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock_state().capacity = Some(bytes);
    }

    /// The files as they are when the power comes back. This file system stays as it is.
    pub fn after_crash(&self, mode: CrashMode) -> Self {
        let state = self.lock_state();
        let mut random = Random(if let CrashMode::Random(seed) = mode { seed } else { 0 });
        let names = state.names_after_crash(mode, &mut random);
        let mut next = State {
            directories: state.directories.clone(),
            capacity: state.capacity,
            next_content: state.next_content,
            durable_names: names.clone(),
            ..State::default()
        };
        for number in names.values() {
            let bytes = state.contents[number].after_crash(mode, &mut random);
            let content = Content { durable: bytes.clone(), bytes, forgotten: Vec::new() };
            next.contents.insert(*number, content);
        }
        next.names = names;
        Self { state: Arc::new(Mutex::new(next)) }
    }

    /// Changes a byte of a file where it lies, as a failing disk does.
    ///
    /// # Panics
    /// Where there is no such file or byte.
    pub fn damage(&self, path: &Path, offset: usize, mask: u8) {
        let mut state = self.lock_state();
        let number = state.names[path];
        let content = state.contents.get_mut(&number).expect("every name has a content");
        content.bytes[offset] ^= mask;
        if let Some(byte) = content.durable.get_mut(offset) {
            *byte ^= mask;
        }
    }
}

#[derive(Debug)]
struct FaultFile {
    fs: FaultFs,
    content: u64,
}

impl AppendFile for FaultFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.lock_state();
        let mut result = state.call(true);
        if result.is_ok() && state.available_bytes() < bytes.len() as u64 {
            result = Err(FaultKind::NoSpace.error());
        }
        // A write that fails may have been done in part; where the power is off nothing happens any more.
        let written = match (&result, state.is_off) {
            (Ok(()), _) => bytes.len(),
            (Err(_), true) => 0,
            (Err(_), false) => bytes.len() / 2,
        };
        if let Some(content) = state.contents.get_mut(&self.content) {
            content.bytes.extend_from_slice(&bytes[..written]);
        }
        result
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.fs.lock_state();
        let result = state.call(false);
        let is_off = state.is_off;
        let Some(content) = state.contents.get_mut(&self.content) else { return result };
        match &result {
            Ok(()) => content.sync(),
            Err(_) if is_off => {}
            Err(_) => content.forgotten.push(content.durable.len()..content.bytes.len()),
        }
        result
    }
}

/// Bytes of a file as they were.
#[derive(Debug)]
struct CopiedFile(Vec<u8>);

impl Mapping for CopiedFile {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug)]
struct FaultLock {
    fs: FaultFs,
    path: PathBuf,
}

impl DirectoryLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.fs.lock_state().locks.remove(&self.path);
    }
}

impl Fs for FaultFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut state = self.lock_state();
        state.call(true)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if path.parent().is_some_and(|parent| !state.directories.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let content = state.next_content;
        state.next_content += 1;
        state.contents.insert(content, Content::default());
        state.change(NameChange::Add(path.to_owned(), content));
        Ok(Box::new(FaultFile { fs: self.clone(), content }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.lock_state();
        state.call(false)?;
        Ok(state.content(path)?.bytes.clone())
    }

    fn map(&self, path: &Path) -> io::Result<Arc<dyn Mapping>> {
        Ok(Arc::new(CopiedFile(self.read(path)?)))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call(false)?;
        let number = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        state.contents.get_mut(&number).expect("every name has a content").sync();
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call(false)?;
        state.sync_directory(path);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call(true)?;
        let content = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.change(NameChange::Add(to.to_owned(), content));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call(false)?;
        assert_eq!(from.parent(), to.parent(), "files are renamed within a directory");
        if state.directories.contains(from) {
            let inside: Vec<PathBuf> = state
                .directories
                .iter()
                .filter_map(|name| Some(to.join(name.strip_prefix(from).ok()?)))
                .collect();
            state.directories.extend(inside);
        } else {
            state.content(from)?;
        }
        state.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call(false)?;
        state.content(path)?;
        state.change(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.lock_state();
        state.call(false)?;
        let inside = state.names.keys().filter(|name| name.parent() == Some(path));
        Ok(inside.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.call(true)?;
        // Directories are durable at once: the database makes them before anything else and syncs their parents.
        state.directories.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.lock_state();
        state.call(false)?;
        Ok(state.content(path)?.bytes.len() as u64)
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        let mut state = self.lock_state();
        state.call(false)?;
        Ok(state.available_bytes())
    }

    fn capacity_bytes(&self, _path: &Path) -> io::Result<u64> {
        let mut state = self.lock_state();
        state.call(false)?;
        Ok(state.capacity.unwrap_or(u64::MAX))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        let mut state = self.lock_state();
        state.call(false)?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(FaultLock { fs: self.clone(), path: path.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fs_with(path: &Path, synced: &[u8], unsynced: &[u8]) -> (FaultFs, Box<dyn AppendFile>) {
        let fs = FaultFs::default();
        fs.create_dir_all(Path::new("/d")).expect("no fault is due");
        let mut file = fs.create(path).expect("no fault is due");
        file.append(synced).expect("no fault is due");
        file.sync_data().expect("no fault is due");
        fs.sync_dir(Path::new("/d")).expect("no fault is due");
        file.append(unsynced).expect("no fault is due");
        (fs, file)
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_tears_the_rest() {
        let path = Path::new("/d/a");
        let (fs, _file) = fs_with(path, b"synced", &[7; 4_000]);
        let left = fs.after_crash(CrashMode::DropUnsynced).read(path).expect("it is there");
        assert_eq!(left, b"synced");
        let mut lengths = BTreeSet::new();
        for seed in 0..20 {
            let left = fs.after_crash(CrashMode::Random(seed)).read(path).expect("it is there");
            assert!(left.starts_with(b"synced") && left[6..].iter().all(|byte| [0, 7].contains(byte)));
            lengths.insert(left.len());
        }
        assert!(lengths.len() > 10, "files end anywhere");
        let killed = fs.after_crash(CrashMode::KeepAll).read(path).expect("it is there");
        assert_eq!(killed.len(), 4_006);
    }

    #[test]
    fn names_last_once_their_directory_is_synced() {
        let path = Path::new("/d/a");
        let (fs, _file) = fs_with(path, b"x", b"");
        fs.rename(path, Path::new("/d/b")).expect("no fault is due");
        let after = fs.after_crash(CrashMode::DropUnsynced);
        assert_eq!(after.list(Path::new("/d")).expect("no fault is due"), ["a"]);
        fs.sync_dir(Path::new("/d")).expect("no fault is due");
        let after = fs.after_crash(CrashMode::DropUnsynced);
        assert_eq!(after.list(Path::new("/d")).expect("no fault is due"), ["b"]);
    }

    #[test]
    fn a_failed_sync_forgets() {
        let path = Path::new("/d/a");
        let (fs, mut file) = fs_with(path, b"one", b"two");
        fs.fail_call(1, FaultKind::Io);
        assert!(file.sync_data().is_err());
        file.append(b"three").expect("no fault is due");
        file.sync_data().expect("no fault is due");
        let left = fs.after_crash(CrashMode::DropUnsynced).read(path).expect("it is there");
        assert_eq!(left, b"one\0\0\0three");
    }

    #[test]
    fn after_the_power_is_off_nothing_happens() {
        let path = Path::new("/d/a");
        let (fs, mut file) = fs_with(path, b"one", b"");
        fs.crash_at_call(2);
        file.append(b"two").expect("the power is on");
        assert!(file.sync_data().is_err() && file.append(b"three").is_err());
        assert!(fs.create(Path::new("/d/b")).is_err());
        let left = fs.after_crash(CrashMode::KeepAll).read(path).expect("it is there");
        assert_eq!(left, b"onetwo");
    }

    #[test]
    fn a_full_device_still_reads() {
        let (fs, mut file) = fs_with(Path::new("/d/a"), b"one", b"");
        fs.set_full(true);
        assert_eq!(file.append(b"x").expect_err("it is full").kind(), io::ErrorKind::StorageFull);
        assert!(fs.read(Path::new("/d/a")).is_ok());
        fs.set_full(false);
        assert!(file.append(b"x").is_ok());
    }
}
