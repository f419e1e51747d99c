//! The rules that a file of unit tests is about.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::discovery::glob;
use crate::promql::Engine;
use crate::rules::config::GroupConfig;
use crate::rules::file::{RuleFileError, RuleFileOptions};
use crate::rules::{Group, RuleFile};

use super::file::TestFile;

/// Rule files that were read.
pub(super) struct RuleSet {
    files: Vec<RuleFile>,
    /// Which group of which file, in the order of evaluation.
    order: Vec<(usize, usize)>,
}

/// The files that `patterns` name beside the file of unit tests at `path`. `err` learns of patterns that name none;
/// the error is a bad pattern's.
pub(super) fn rule_paths(
    path: &str,
    patterns: &[String],
    err: &mut dyn Write,
) -> io::Result<Result<Vec<PathBuf>, String>> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut paths = Vec::new();
    let mut seen = BTreeSet::new();
    for pattern in patterns {
        let pattern = if pattern.is_empty() { PathBuf::new() } else { folder.join(pattern) };
        let found = match glob(&pattern) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if found.is_empty() {
            writeln!(err, "  WARNING: no file match pattern {}", pattern.display())?;
        }
        paths.extend(found.into_iter().filter(|path| seen.insert(path.clone())));
    }
    Ok(Ok(paths))
}

impl RuleSet {
    /// Reads the files up to the first that is refused; the errors are all of that one.
    pub(super) fn read(paths: &[PathBuf], options: &RuleFileOptions) -> Result<Self, Vec<RuleFileError>> {
        let files: Vec<RuleFile> =
            paths.iter().map(|path| RuleFile::read(path, options)).collect::<Result<_, _>>()?;
        let order = files.iter().enumerate();
        let order = order.flat_map(|(file, read)| (0..read.groups.len()).map(move |group| (file, group)));
        Ok(Self { order: order.collect(), files })
    }

    /// Brings the groups into the order that `file` asks for. Those that it does not name stand beside the first that
    /// it names, as upstream; where several may be first, they keep the order of files.
    pub(super) fn sort(&mut self, file: &TestFile) {
        let Ok(places) = file.group_order() else { return };
        let mut order = std::mem::take(&mut self.order);
        order.sort_by_key(|place| places.get(self.config(*place).name.as_str()).copied().unwrap_or(0));
        self.order = order;
    }

    fn config(&self, (file, group): (usize, usize)) -> &GroupConfig {
        &self.files[file].groups[group]
    }

    /// The groups as they are before their first evaluation. `interval_ms`: of groups that name none.
    pub(super) fn groups(&self, engine: &Engine, interval_ms: i64) -> Result<Vec<Group>, Box<RuleFileError>> {
        let group = |&(file, group): &(usize, usize)| {
            let config = self.config((file, group));
            Group::new(engine, &self.files[file].path, config, interval_ms)
        };
        self.order.iter().map(group).collect()
    }
}
