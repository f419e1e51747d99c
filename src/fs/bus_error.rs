//! What happens where a mapped file cannot provide its bytes: the disk fails under it, or somebody cut it off.
//!
//! The system then sends SIGBUS to the thread that touched the page, which would end the process. Here a handler puts a
//! page of zeros in its place and marks the map; whoever reads a map asks for the mark before it believes what it read.

#[cfg(unix)]
pub(super) use unix::Guard;

/// Elsewhere the system reports such errors in its own way.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Guard;

#[cfg(not(unix))]
impl Guard {
    pub(super) fn new(_bytes: &[u8]) -> Self {
        Self
    }

    pub(super) fn is_hit(&self) -> bool {
        false
    }
}

#[cfg(unix)]
mod unix {
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
    use std::sync::{Mutex, Once, OnceLock};

    use crate::lock::lock;

    /// Most maps that are guarded at a time; more are mapped all the same.
    const REGIONS_MAX: usize = 8_192;

    /// An address range; free where it starts at 0. The handler reads it without locks.
    struct Region {
        start: AtomicUsize,
        len: AtomicUsize,
        is_hit: AtomicBool,
    }

    static REGIONS: [Region; REGIONS_MAX] = [const {
        Region { start: AtomicUsize::new(0), len: AtomicUsize::new(0), is_hit: AtomicBool::new(false) }
    }; REGIONS_MAX];
    /// Regions in use lie below.
    static REGIONS_END: AtomicUsize = AtomicUsize::new(0);
    static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
    /// What was done with the signal before.
    static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

    fn free_regions() -> &'static Mutex<Vec<usize>> {
        static FREE: OnceLock<Mutex<Vec<usize>>> = OnceLock::new();
        FREE.get_or_init(|| Mutex::new((0..REGIONS_MAX).rev().collect()))
    }

    /// Guards a map for as long as it lives; to be dropped before the map.
    #[derive(Debug)]
    pub(in crate::fs) struct Guard {
        region: Option<usize>,
    }

    impl Guard {
        pub(in crate::fs) fn new(bytes: &[u8]) -> Self {
            install_once();
            if bytes.is_empty() {
                return Self { region: None };
            }
            let Some(number) = lock(free_regions()).pop() else { return Self { region: None } };
            let region = &REGIONS[number];
            region.is_hit.store(false, Ordering::Relaxed);
            region.len.store(bytes.len(), Ordering::Relaxed);
            // Last: from here on the handler may find it.
            region.start.store(bytes.as_ptr().addr(), Ordering::Release);
            REGIONS_END.fetch_max(number + 1, Ordering::Release);
            Self { region: Some(number) }
        }

        /// Whether some page could not be provided.
        pub(in crate::fs) fn is_hit(&self) -> bool {
            self.region.is_some_and(|number| REGIONS[number].is_hit.load(Ordering::Acquire))
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            if let Some(number) = self.region {
                REGIONS[number].start.store(0, Ordering::Release);
                lock(free_regions()).push(number);
            }
        }
    }

    fn install_once() {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(install);
    }

    #[expect(unsafe_code, reason = "the standard library has no signals")]
    fn install() {
        // SAFETY: `sysconf` takes a number and touches no memory of ours.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE_BYTES.store(usize::try_from(page_bytes).unwrap_or(4_096).max(1), Ordering::Relaxed);
        // SAFETY: all bytes zero is a valid `sigaction`: numbers, an empty set, and a handler that may be null.
        let (mut action, mut before): (libc::sigaction, libc::sigaction) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_bus_error;
        action.sa_sigaction = handler as usize;
        // On the other stack, as the runtime's own handler, which is asked where the address is not ours.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both point to initialised values of the right type that live through the calls; the handler only
        // does what may be done in one (see there).
        let installed = unsafe {
            libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before) == 0 && {
                // Before ours is called, what it falls back on is there. Never freed: the handler stays.
                BEFORE.store(Box::into_raw(Box::new(before)), Ordering::Release);
                libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0
            }
        };
        if !installed {
            tracing::warn!("cannot handle SIGBUS: a mapped file that cannot be read will end the process");
        }
    }

    /// Runs between any two instructions of any thread, so it takes no lock and allocates nothing: it reads atomics, and
    /// calls `mmap` and `sigaction`.
    #[expect(unsafe_code, reason = "a signal handler gets raw pointers and replaces a page")]
    extern "C" fn on_bus_error(
        _signal: libc::c_int,
        info: *mut libc::siginfo_t,
        _context: *mut libc::c_void,
    ) {
        // SAFETY: the system passes a valid `siginfo_t` to a handler that was installed with `SA_SIGINFO`, and for
        // SIGBUS it holds an address.
        let address = unsafe { (*info).si_addr() }.addr();
        // SAFETY: `__errno_location` gives this thread's errno, which is put back before the interrupted code goes on.
        let errno = unsafe { *errno_location() };
        if !put_zeros(address) {
            let before = BEFORE.load(Ordering::Acquire);
            // SAFETY: `before` is null or was made by `install` and never freed. With the earlier action in place the
            // instruction faults again, and that action decides.
            unsafe {
                if !before.is_null() {
                    libc::sigaction(libc::SIGBUS, before, ptr::null_mut());
                }
            }
        }
        // SAFETY: as above.
        unsafe { *errno_location() = errno };
    }

    #[expect(unsafe_code, reason = "errno is a place, not a value")]
    unsafe fn errno_location() -> *mut libc::c_int {
        #[cfg(any(target_os = "linux", target_os = "emscripten"))]
        // SAFETY: always answers this thread's place.
        return unsafe { libc::__errno_location() };
        #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
        // SAFETY: always answers this thread's place.
        return unsafe { libc::__error() };
    }

    /// Puts a page of zeros where `address` is, if that is in a guarded map. Whether it did.
    #[expect(unsafe_code, reason = "the page under a failed read has to be replaced in place")]
    fn put_zeros(address: usize) -> bool {
        let page_bytes = PAGE_BYTES.load(Ordering::Relaxed);
        for region in &REGIONS[..REGIONS_END.load(Ordering::Acquire).min(REGIONS_MAX)] {
            let start = region.start.load(Ordering::Acquire);
            let len = region.len.load(Ordering::Relaxed);
            if start == 0 || address < start || address - start >= len {
                continue;
            }
            region.is_hit.store(true, Ordering::Release);
            let page = address / page_bytes * page_bytes;
            // SAFETY: the page lies within a map that is alive, since its `Guard` is (a `MappedFile` drops the guard
            // first, and the thread that faulted borrows the map), so nothing else of the process is replaced. The new
            // page is readable as the old one was; unmapping the whole range later includes it.
            let mapped = unsafe {
                libc::mmap(
                    ptr::without_provenance_mut(page),
                    page_bytes,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            return mapped != libc::MAP_FAILED;
        }
        false
    }

    #[cfg(test)]
    mod tests {
        use std::fs::{File, OpenOptions};

        use crate::fs::Mapping;
        use crate::fs::map::map_file;

        #[test]
        fn a_file_that_is_cut_off_reads_as_zeros_and_says_so() {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let path = directory.path().join("a");
            std::fs::write(&path, vec![7; 100_000]).expect("the disk works");
            let mapped = map_file(File::open(&path).expect("it is there")).expect("it can be mapped");
            let other = map_file(File::open(&path).expect("it is there")).expect("it can be mapped");
            assert!(mapped.is_sound() && mapped.is_whole() && mapped.bytes().iter().all(|byte| *byte == 7));
            let file = OpenOptions::new().write(true).open(&path).expect("it is there");
            file.set_len(10_000).expect("the disk works");
            assert!(!mapped.is_whole(), "the length says so before anything is read");
            let sum: u64 = mapped.bytes().iter().map(|byte| u64::from(*byte)).sum();
            assert_eq!(sum, 7 * 10_000);
            // Even if the file grows again.
            file.set_len(100_000).expect("the disk works");
            assert!(!mapped.is_sound() && other.is_sound());
        }
    }
}
