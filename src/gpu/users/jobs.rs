//! Jobs of a batch system, from the folder that its prolog keeps: a file for each GPU, with the ids of its jobs.
//!
//! A file is named by the GPU's index, by index and GPU instance (`0.7`), or by a UUID; each of its lines is a job.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Most files that are read.
const FILES_MAX: usize = 1_024;
/// Longest file that is read: ids of jobs are a few digits.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Longest id that is taken.
const ID_BYTES_MAX: usize = 256;

/// The folder.
#[derive(Debug)]
pub struct JobFolder {
    path: PathBuf,
    /// What was said last of its not being readable.
    said: Option<String>,
}

/// Ids of jobs by the name of their file.
pub(super) type Jobs = BTreeMap<String, BTreeSet<String>>;

impl JobFolder {
    /// Reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, said: None }
    }

    /// The jobs of now. That the folder cannot be read is said once; there are no jobs then.
    pub(super) fn read(&mut self) -> Jobs {
        match read_folder(&self.path) {
            Ok(jobs) => {
                self.said = None;
                jobs
            }
            Err(error) => {
                let text = error.to_string();
                if self.said.as_ref() != Some(&text) {
                    tracing::warn!("no jobs are known: cannot read {}: {text}", self.path.display());
                    self.said = Some(text);
                }
                Jobs::new()
            }
        }
    }
}

fn read_folder(folder: &Path) -> io::Result<Jobs> {
    let mut jobs = Jobs::new();
    for entry in std::fs::read_dir(folder)?.take(FILES_MAX) {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !names_gpu(&name) || !entry.path().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        // A job that ends takes its file with it.
        let Ok(file) = File::open(entry.path()) else { continue };
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let ids = text.lines().map(str::trim).filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
        jobs.insert(name, ids.map(str::to_owned).collect());
    }
    Ok(jobs)
}

fn names_gpu(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (index, instance) = name.split_once('.').unwrap_or((name, "0"));
    name.starts_with("GPU-") || name.starts_with("MIG-") || (is_number(index) && is_number(instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_gpus_hold_their_jobs() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file can be written");
        };
        write("0", "job2\njob1\n\njob2\r\n");
        write("1.7", "9");
        write("GPU-abc", " 5 ");
        write("0.swp", "x");
        write(".0", "x");
        write("README", "x");
        std::fs::create_dir(folder.path().join("3")).expect("a folder can be made");
        let mut jobs = JobFolder::new(folder.path().to_owned());
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let expected = [("0", ids(&["job1", "job2"])), ("1.7", ids(&["9"])), ("GPU-abc", ids(&["5"]))];
        assert_eq!(jobs.read(), expected.map(|(name, ids)| (name.to_owned(), ids)).into());
        drop(folder);
        assert!(jobs.read().is_empty() && jobs.said.is_some());
    }
}
