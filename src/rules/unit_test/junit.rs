//! Results as JUnit writes them, for machines that collect tests.

use std::io;

/// The results of several files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JunitReport {
    /// One for each file, in the order of running.
    pub suites: Vec<JunitSuite>,
}

/// The results of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JunitSuite {
    /// The file.
    pub name: String,
    /// When it was run: a date and a time without a zone; empty where it could not be read.
    pub timestamp: String,
    /// Why it could not be run.
    pub error: Option<String>,
    /// Its tests.
    pub cases: Vec<JunitCase>,
}

/// The result of one test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JunitCase {
    /// Its name.
    pub name: String,
    /// What failed; a test that passed has none.
    pub failures: Vec<String>,
}

impl JunitReport {
    /// Whether every file could be run and every test passed.
    pub fn passed(&self) -> bool {
        let failed = |case: &JunitCase| !case.failures.is_empty();
        self.suites.iter().all(|suite| suite.error.is_none() && !suite.cases.iter().any(failed))
    }

    /// Writes the report as one line of XML.
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(b"<testsuites>")?;
        for suite in &self.suites {
            suite.write(out)?;
        }
        out.write_all(b"</testsuites>")
    }
}

impl JunitSuite {
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        // A file that could not be run has one test, which nobody named.
        let unknown =
            self.error.as_ref().map(|_| JunitCase { name: "unknown".to_owned(), ..JunitCase::default() });
        let cases = self.cases.iter().chain(&unknown);
        let failures: usize = self.cases.iter().map(|case| case.failures.len()).sum();
        write!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\" skipped=\"0\" timestamp=\"{}\">",
            escaped(&self.name),
            cases.clone().count(),
            u8::from(self.error.is_some()),
            escaped(&self.timestamp),
        )?;
        for case in cases {
            write!(out, "<testcase name=\"{}\">", escaped(&case.name))?;
            for failure in &case.failures {
                write!(out, "<failure>{}</failure>", escaped(failure))?;
            }
            if let (Some(error), true) = (&self.error, unknown.as_ref() == Some(case)) {
                write!(out, "<error>{}</error>", escaped(error))?;
            }
            out.write_all(b"</testcase>")?;
        }
        out.write_all(b"</testsuite>")
    }
}

/// Text as Go's encoder writes it; what XML cannot hold becomes the replacement character.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' => escaped.push_str("&#x9;"),
            '\n' => escaped.push_str("&#xA;"),
            '\r' => escaped.push_str("&#xD;"),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(report: &JunitReport) -> String {
        let mut out = Vec::new();
        report.write(&mut out).expect("memory does not fail");
        String::from_utf8(out).expect("a report is text")
    }

    #[test]
    fn reports_count_and_escape() {
        let case = |name: &str, failures: &[&str]| JunitCase {
            name: name.to_owned(),
            failures: failures.iter().map(|failure| (*failure).to_owned()).collect(),
        };
        let ran = JunitSuite {
            name: "a.yml".to_owned(),
            timestamp: "2024-01-01T00:00:00".to_owned(),
            error: None,
            cases: vec![case("good", &[]), case("<bad>", &["a\n\x1b", "'b' & \"c\""])],
        };
        let broken =
            JunitSuite { name: "b.yml".to_owned(), error: Some("no".to_owned()), ..JunitSuite::default() };
        let xml = concat!(
            r#"<testsuites><testsuite name="a.yml" tests="2" failures="2" errors="0" skipped="0" timestamp="2024-01-01T00:00:00">"#,
            r#"<testcase name="good"></testcase><testcase name="&lt;bad&gt;"><failure>a&#xA;"#,
            "\u{fffd}",
            r#"</failure><failure>&#39;b&#39; &amp; &#34;c&#34;</failure></testcase></testsuite>"#,
            r#"<testsuite name="b.yml" tests="1" failures="0" errors="1" skipped="0" timestamp="">"#,
            r#"<testcase name="unknown"><error>no</error></testcase></testsuite></testsuites>"#,
        );
        assert_eq!(written(&JunitReport { suites: vec![ran, broken] }), xml);
        assert_eq!(written(&JunitReport::default()), "<testsuites></testsuites>");
    }
}
