//! The files of unit tests under `tests/fixtures/unit-tests`, and what a program makes of them.
//!
//! A file begins with comments that say what is to come of it: `expect` (`pass`, `fail` or `abort`, and how many
//! failures each test has), `flags`, `since` (the release of Prometheus that came to know what it uses, where that is a
//! new one) and `words` (`ours` where messages are told in other words than upstream's).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of unit tests.
pub(crate) struct UnitTestFile {
    /// Its name in the folder.
    pub(crate) name: String,
    /// What the command line takes beside it.
    pub(crate) flags: Vec<String>,
    /// Whether the file cannot be run, some tests fail, or all pass.
    pub(crate) verdict: String,
    /// Failures by test, in the order of running, where the file names them.
    pub(crate) failures: Vec<(String, usize)>,
    /// An older promtool knows nothing of what it uses.
    #[allow(dead_code, reason = "only the tests beside a real promtool ask")]
    pub(crate) is_newer: bool,
    /// Messages are told in other words than upstream's.
    #[allow(dead_code, reason = "only the tests beside a real promtool ask")]
    pub(crate) has_own_words: bool,
}

/// What a program said.
#[derive(Debug, PartialEq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// Tests of the JUnit report, with what failed; a file that cannot be run has one.
    pub(crate) cases: Vec<(String, Vec<String>)>,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/unit-tests")
}

/// Rules of ML teams, and `ml-tests.yml` with their unit tests.
pub(crate) fn example_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules")
}

/// All files, by name.
pub(crate) fn unit_test_files() -> Vec<UnitTestFile> {
    let entries = std::fs::read_dir(folder()).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let mut files: Vec<UnitTestFile> =
        paths.filter(|path| path.is_file()).map(|path| UnitTestFile::read(&path)).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

impl UnitTestFile {
    /// Fails where a program made something else of the file than its comments say.
    pub(crate) fn check(&self, ran: &Ran) {
        let name = &self.name;
        let counts: Vec<(String, usize)> =
            ran.cases.iter().map(|(test, failures)| (test.clone(), failures.len())).collect();
        match self.verdict.as_str() {
            "pass" => {
                assert!(counts.iter().all(|(_, failures)| *failures == 0), "{name}: {ran:?}");
                assert_eq!((ran.code, ran.out.as_str()), (Some(0), "  SUCCESS\n\n"), "{name}: {ran:?}");
            }
            "fail" => {
                assert_eq!(counts, self.failures, "{name}: {ran:?}");
                assert_eq!(ran.code, Some(1), "{name}");
            }
            "abort" => {
                assert_eq!(counts, [("unknown".to_owned(), 1)], "{name}: {ran:?}");
                assert_eq!(ran.code, Some(1), "{name}");
            }
            other => panic!("{name} expects {other:?}"),
        }
        if !self.failures.is_empty() {
            assert_eq!(counts, self.failures, "{name}: {ran:?}");
        }
        // XML has no colours.
        let err = ran.err.replace('\x1b', "\u{fffd}");
        for failure in ran.cases.iter().flat_map(|(_, failures)| failures) {
            assert!(err.contains(failure), "{name}: {failure} is in the report alone");
        }
    }

    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a fixture can be read");
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let said = |key: &str| {
            let start = format!("# {key}: ");
            text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default()
        };
        let (verdict, failures) = said("expect").split_once(' ').unwrap_or((said("expect"), ""));
        let failures = failures.split(", ").filter_map(|part| part.rsplit_once('='));
        Self {
            verdict: verdict.to_owned(),
            failures: failures
                .map(|(test, count)| (test.to_owned(), count.parse().expect("a number of failures")))
                .collect(),
            flags: said("flags").split_whitespace().map(str::to_owned).collect(),
            is_newer: !said("since").is_empty(),
            has_own_words: said("words") == "ours",
            name,
        }
    }

    /// Runs it by `program test rules`, with a report in `scratch`.
    pub(crate) fn run(&self, program: &Path, scratch: &Path) -> Ran {
        run(program, &folder(), &self.flags, &[&self.name], scratch)
    }
}

/// Runs `program test rules` on `files` in `folder`.
pub(crate) fn run(program: &Path, folder: &Path, flags: &[String], files: &[&str], scratch: &Path) -> Ran {
    let report = scratch.join("junit.xml");
    let output = Command::new(program)
        .args(["test", "rules"])
        .arg(format!("--junit={}", report.display()))
        .args(flags)
        .args(files)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let xml = std::fs::read_to_string(&report).unwrap_or_default();
    Ran {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
        cases: cases(&xml),
    }
}

/// Names and failures of the tests in a JUnit report.
fn cases(xml: &str) -> Vec<(String, Vec<String>)> {
    let read = |case: &str| {
        let (name, rest) = case.split_once("\">").expect("a test has a name");
        let (rest, _) = rest.split_once("</testcase>").expect("a test ends");
        let failures = rest.split("<failure>").skip(1).map(|rest| rest.split("</failure>").next());
        let errors = rest.split("<error>").skip(1).map(|rest| rest.split("</error>").next());
        (unescaped(name), failures.chain(errors).flatten().map(unescaped).collect())
    };
    xml.split("<testcase name=\"").skip(1).map(read).collect()
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (escaped, c) in [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#x9;", "\t"),
        ("&#xA;", "\n"),
        ("&#xD;", "\r"),
        ("&amp;", "&"),
    ] {
        text = text.replace(escaped, c);
    }
    text
}
