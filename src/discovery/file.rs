//! Targets in files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::config::FileSdConfig;
use super::glob::matching_files;
use super::group::TargetGroup;

/// Label that tells a target's file.
const FILE_PATH_LABEL: &str = "__meta_filepath";
/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why a file's targets stay what they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileSdError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file holds no list of target groups.
    #[error("{path}: {message}")]
    Content {
        /// Which file.
        path: String,
        /// What is wrong, and where.
        message: String,
    },
}

/// The files of one `<file_sd_config>` and what was last read from them.
#[derive(Debug)]
pub struct FileDiscovery {
    patterns: Vec<PathBuf>,
    files: BTreeMap<PathBuf, ReadFile>,
}

/// A file as it was last looked at.
#[derive(Debug, Default)]
struct ReadFile {
    /// What tells a change; `None` where it could not be told.
    stamp: Option<(SystemTime, u64)>,
    /// Of the last time that it could be read.
    groups: Vec<TargetGroup>,
}

impl FileDiscovery {
    /// Nothing is read yet.
    pub fn new(config: &FileSdConfig) -> Self {
        Self { patterns: config.files.iter().map(PathBuf::from).collect(), files: BTreeMap::new() }
    }

    /// Looks at the files. Those that changed since the last look are read, all of them with `everything`. A file that
    /// cannot be read keeps its groups; one that is gone loses them. Answers whether any group changed.
    ///
    /// Blocks on the file system; costs one look at each folder and file.
    pub fn refresh(&mut self, everything: bool) -> (bool, Vec<FileSdError>) {
        let found: Vec<PathBuf> = self.patterns.iter().flat_map(|pattern| matching_files(pattern)).collect();
        let known = self.files.len();
        self.files.retain(|path, _| found.contains(path));
        let mut has_changed = self.files.len() != known;
        let mut errors = Vec::new();
        for path in found {
            let stamp = stamp_of(&path);
            let file = self.files.entry(path.clone()).or_default();
            if !everything && stamp.is_some() && file.stamp == stamp {
                continue;
            }
            match read_groups(&path) {
                Ok(groups) => {
                    has_changed |= file.groups != groups;
                    *file = ReadFile { stamp, groups };
                }
                // The stamp stays old, so that the next look reads the file again.
                Err(error) => errors.push(error),
            }
        }
        (has_changed, errors)
    }

    /// All groups, file by file.
    pub fn groups(&self) -> impl Iterator<Item = &TargetGroup> {
        self.files.values().flat_map(|file| &file.groups)
    }

    /// The files that groups were read from, with their times of change in seconds since the epoch.
    pub fn files(&self) -> impl Iterator<Item = (&Path, f64)> {
        self.files.iter().filter_map(|(path, file)| {
            let since = file.stamp?.0.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some((path.as_path(), since.as_secs_f64().floor()))
        })
    }
}

fn stamp_of(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read_groups(path: &Path) -> Result<Vec<TargetGroup>, FileSdError> {
    let shown = path.to_string_lossy().into_owned();
    let failed = |source| FileSdError::Io { path: shown.clone(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        let source = io::Error::other(format!("{length} bytes, more than {FILE_BYTES_MAX} are not read"));
        return Err(failed(source));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mut groups =
        parse_groups(path, &text).map_err(|message| FileSdError::Content { path: shown.clone(), message })?;
    for (index, group) in groups.iter_mut().enumerate() {
        group.source = format!("{shown}:{index}");
        group.labels.insert(FILE_PATH_LABEL.to_owned(), shown.clone());
    }
    Ok(groups)
}

/// The groups that a file's text lists: JSON or YAML by its ending; a null is no list, but an empty one.
fn parse_groups(path: &Path, text: &str) -> Result<Vec<TargetGroup>, String> {
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let groups: Option<Vec<Option<TargetGroup>>> = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())?
    };
    let groups: Option<Vec<TargetGroup>> = groups.unwrap_or_default().into_iter().collect();
    groups.ok_or_else(|| "nil target group item found".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::DurationMs;

    fn discovery(folder: &Path, pattern: &str) -> FileDiscovery {
        let files = vec![folder.join(pattern).to_string_lossy().into_owned()];
        FileDiscovery::new(&FileSdConfig { files, refresh_interval: DurationMs(1_000) })
    }

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).expect("there is room");
    }

    fn addresses(discovery: &FileDiscovery) -> Vec<&str> {
        discovery.groups().flat_map(TargetGroup::addresses).collect()
    }

    #[test]
    fn changed_files_are_read_again_and_lost_ones_forgotten() {
        let folder = tempfile::tempdir().expect("there is room");
        write(folder.path(), "tg-1.json", r#"[{"targets":["a:1"],"labels":{"x":"y"}}]"#);
        write(folder.path(), "tg-2.yml", "- targets: ['b:2']\n");
        write(folder.path(), "other.json", r#"[{"targets":["c:3"]}]"#);
        let mut found = discovery(folder.path(), "tg-*.json");
        found.patterns.push(folder.path().join("tg-2.yml"));
        let (has_changed, errors) = found.refresh(false);
        assert!(has_changed && errors.is_empty(), "{errors:?}");
        assert_eq!(addresses(&found), ["a:1", "b:2"]);
        let first = found.groups().next().expect("there are two");
        let path = folder.path().join("tg-1.json").to_string_lossy().into_owned();
        assert_eq!(first.source, format!("{path}:0"));
        assert_eq!((first.labels["x"].as_str(), &first.labels[FILE_PATH_LABEL]), ("y", &path));
        assert!(!found.refresh(false).0 && !found.refresh(true).0);

        write(folder.path(), "tg-1.json", r#"[{"targets":["a:1","a:10"]}]"#);
        assert!(found.refresh(false).0);
        assert_eq!(addresses(&found), ["a:1", "a:10", "b:2"]);
        std::fs::remove_file(folder.path().join("tg-2.yml")).expect("it was there");
        assert!(found.refresh(false).0);
        assert_eq!(addresses(&found), ["a:1", "a:10"]);
    }

    #[test]
    fn a_bad_file_keeps_its_groups_and_is_reported_until_it_is_mended() {
        let folder = tempfile::tempdir().expect("there is room");
        write(folder.path(), "t.json", r#"[{"targets":["a:1"]}]"#);
        let mut found = discovery(folder.path(), "t.json");
        found.refresh(false);
        for bad in ["[{", "[null]", r#"[{"targets":["b:2"],"label":{}}]"#] {
            write(folder.path(), "t.json", bad);
            for _ in 0..2 {
                let (has_changed, errors) = found.refresh(false);
                assert!(!has_changed && errors.len() == 1, "{bad}");
                assert!(errors[0].to_string().contains("t.json: "), "{}", errors[0]);
            }
            assert_eq!(addresses(&found), ["a:1"]);
        }
        write(folder.path(), "t.json", r#"[{"targets":["b:2"]}]"#);
        assert!(found.refresh(false).0);
        assert_eq!(addresses(&found), ["b:2"]);
    }
}
