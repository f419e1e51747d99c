//! Files with targets, looked at for as long as somebody wants to know.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::config::FileSdConfig;
use super::file::{FileDiscovery, FileSdError};
use super::group::TargetGroup;

/// Time between two looks whether a file has changed; upstream hears of changes from the kernel.
const FILE_POLL: Duration = Duration::from_secs(5);

/// All `file_sd_configs` of one owner. Cheap to clone; clones share what was read, so that an owner which hands them
/// on keeps the targets of a file that happens to be broken.
#[derive(Clone, Debug)]
pub struct WatchedFiles {
    configs: Arc<[FileSdConfig]>,
    files: Arc<Mutex<Vec<FileDiscovery>>>,
}

/// What a look at files found.
#[derive(Debug, Default)]
pub struct LookedAt {
    /// All groups, file by file.
    pub groups: Vec<TargetGroup>,
    /// The files with their times of change in seconds since the epoch.
    pub times: Vec<(String, f64)>,
    /// What could not be read this time.
    pub errors: Vec<FileSdError>,
}

impl WatchedFiles {
    /// Nothing is read yet.
    pub fn new(configs: &[FileSdConfig]) -> Self {
        let files = configs.iter().map(FileDiscovery::new).collect();
        Self { configs: configs.into(), files: Arc::new(Mutex::new(files)) }
    }

    /// Whether these are the files that `configs` name.
    pub fn are_of(&self, configs: &[FileSdConfig]) -> bool {
        *self.configs == *configs
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.configs.is_empty()
    }

    /// Looks at the files off the network's threads, and reads those that changed; all of them with `everything`.
    pub async fn look(&self, everything: bool) -> LookedAt {
        let files = Arc::clone(&self.files);
        let looked = tokio::task::spawn_blocking(move || {
            let mut files = crate::lock::lock(&files);
            let errors = files.iter_mut().flat_map(|discovery| discovery.refresh(everything).1).collect();
            let groups = files.iter().flat_map(FileDiscovery::groups).cloned().collect();
            let times = files.iter().flat_map(FileDiscovery::files);
            let times = times.map(|(path, time)| (path.to_string_lossy().into_owned(), time)).collect();
            LookedAt { groups, times, errors }
        });
        looked.await.unwrap_or_default()
    }

    /// From now on, look after look.
    pub fn watch(&self) -> FileWatch {
        FileWatch { refresh: self.refresh(), files: self.clone(), read_last: Instant::now() }
    }

    /// The shortest time after which all files are read again.
    fn refresh(&self) -> Duration {
        let intervals = self.configs.iter().map(|files| files.refresh_interval.to_duration());
        intervals.min().unwrap_or(FILE_POLL).max(Duration::from_millis(1))
    }
}

/// The looks at files, in time.
#[derive(Debug)]
pub struct FileWatch {
    files: WatchedFiles,
    refresh: Duration,
    read_last: Instant,
}

impl FileWatch {
    /// Waits until it is time for another look, and takes it. Never ends by itself.
    pub async fn next(&mut self) -> LookedAt {
        tokio::time::sleep(FILE_POLL.min(self.refresh)).await;
        let everything = self.read_last.elapsed() >= self.refresh;
        if everything {
            self.read_last = Instant::now();
        }
        self.files.look(everything).await
    }
}
