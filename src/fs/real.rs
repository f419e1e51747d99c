//! The operating system's files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::map::{LoadedFile, map_file};
use super::{AppendFile, DirectoryLock, Fs, Mapping};

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs {
    copies: bool,
}

impl RealFs {
    /// Files are mapped for reading.
    pub const fn mapped() -> Self {
        Self { copies: false }
    }

    /// Files are copied into memory for reading: an error of the disk is then an error of the call.
    pub const fn copied() -> Self {
        Self { copies: true }
    }
}

#[derive(Debug)]
struct RealFile(File);

impl AppendFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Keeps the lock file open; closing it unlocks.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DirectoryLock for RealLock {}

impl Fs for RealFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().append(true).create_new(true).open(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Arc<dyn Mapping>> {
        if self.copies {
            return Ok(Arc::new(LoadedFile(fs::read(path)?)));
        }
        Ok(Arc::new(map_file(File::open(path)?)?))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_data()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::TooManyLinks
                ) =>
            {
                fs::copy(from, to)?;
                self.sync_file(to)
            }
            linked => linked,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        room(path).map(|room| room.available)
    }

    fn capacity_bytes(&self, path: &Path) -> io::Result<u64> {
        room(path).map(|room| room.capacity)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => {
                Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock"))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Bytes of a file system.
struct Room {
    available: u64,
    capacity: u64,
}

/// What `statvfs` says on Unix; elsewhere there is no portable way to ask, and the answer is "plenty".
#[cfg(unix)]
fn room(path: &Path) -> io::Result<Room> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all bytes zero is a valid `statvfs`: it holds integers only.
    #[expect(unsafe_code, reason = "the standard library does not tell how full a disk is")]
    let mut facts: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `name` ends in a zero byte and lives through the call; `facts` is writable and of the right type.
    #[expect(unsafe_code, reason = "the standard library does not tell how full a disk is")]
    let answer = unsafe { libc::statvfs(name.as_ptr(), &raw mut facts) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(clippy::useless_conversion, reason = "the fields' widths differ between systems")]
    let bytes = |blocks| u64::from(blocks).saturating_mul(u64::from(facts.f_frsize));
    Ok(Room { available: bytes(facts.f_bavail), capacity: bytes(facts.f_blocks) })
}

#[cfg(not(unix))]
fn room(_path: &Path) -> io::Result<Room> {
    Ok(Room { available: u64::MAX, capacity: u64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_grow_and_are_read_both_ways() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a");
        let fs = RealFs::mapped();
        let mut file = fs.create(&path).expect("the name is free");
        file.append(b"one").expect("there is room");
        file.append(b"two").expect("there is room");
        file.sync_data().expect("the disk works");
        fs.sync_dir(dir.path()).expect("the disk works");
        assert!(fs.create(&path).is_err(), "the name is taken");
        let mapped = fs.map(&path).expect("the file is there");
        let copied = RealFs::copied().map(&path).expect("the file is there");
        assert_eq!((mapped.bytes(), copied.bytes()), (&b"onetwo"[..], &b"onetwo"[..]));
        let second = dir.path().join("b");
        fs.link(&path, &second).expect("there is room");
        fs.remove(&path).expect("the file is there");
        assert_eq!(fs.read(&second).expect("it has another name"), b"onetwo");
        fs.remove(&second).expect("the file is there");
        assert_eq!(mapped.bytes(), b"onetwo");
        assert_eq!(fs.list(dir.path()).expect("the directory is there"), Vec::<String>::new());
        assert!(fs.available_bytes(dir.path()).expect("the directory is there") > 0);
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("lock");
        let lock = RealFs::mapped().lock(&path).expect("nobody holds it");
        let second = RealFs::mapped().lock(&path);
        assert_eq!(second.expect_err("it is held").kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        assert!(RealFs::mapped().lock(&path).is_ok());
    }
}
