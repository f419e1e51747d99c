//! Evaluates matchers over the stored index.

use roaring::RoaringBitmap;

use crate::encoding::DecodeError;
use crate::model::{MatchOp, Matcher};

use super::automaton::{PatternAutomaton, literal_set};
use super::dictionary::Dictionary;
use super::names::{NameEntry, Names};
use super::postings::Postings;
use super::{IndexSection, IndexSource};

/// An index over the bytes of its source.
pub struct Index<'a, S> {
    source: &'a S,
    row_count: u32,
}

/// What a matcher asks of its label's values, cheapest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test<'m> {
    /// Every value passes.
    Any,
    /// Exactly these values pass.
    Literals(Vec<&'m str>),
    /// Values that the matcher passes.
    Search,
}

/// One matcher, ready to run.
struct Step<'m> {
    /// Rows that pass the test are removed, instead of those that do not.
    excludes: bool,
    test: Test<'m>,
    matcher: &'m Matcher,
}

impl<'a, S: IndexSource> Index<'a, S> {
    /// Over rows 0 to `row_count`.
    pub fn new(source: &'a S, row_count: u32) -> Self {
        Self { source, row_count }
    }

    /// The rows that pass all matchers, rising. No matchers: all rows.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<u32>, S::Error> {
        let mut steps: Vec<Step<'_>> = matchers.iter().filter_map(plan).collect();
        // What narrows comes before what removes, one lookup before a search.
        steps.sort_by(|a, b| (a.excludes, &a.test).cmp(&(b.excludes, &b.test)));
        let mut rows = None;
        for step in &steps {
            self.apply(step, &mut rows)?;
            if rows.as_ref().is_some_and(RoaringBitmap::is_empty) {
                return Ok(Vec::new());
            }
        }
        match rows {
            Some(rows) if rows.max().is_some_and(|row| row >= self.row_count) => {
                let rule = "postings name a row that does not exist";
                Err(self.source.corrupt(IndexSection::Postings, DecodeError { offset: 0, rule }))
            }
            Some(rows) => Ok(rows.iter().collect()),
            None => Ok((0..self.row_count).collect()),
        }
    }

    /// All label names, sorted.
    pub fn label_names(&self) -> Result<Vec<String>, S::Error> {
        let mut names = self.names()?;
        let mut texts = Vec::new();
        while let Some(entry) = names.next().map_err(|error| self.corrupt(IndexSection::Names, error))? {
            texts.push(entry.name.to_owned());
        }
        Ok(texts)
    }

    /// Values of a label, sorted; at most `limit`, 0 for all.
    pub fn label_values(&self, name: &str, limit: usize) -> Result<Vec<String>, S::Error> {
        let mut texts = Vec::new();
        if let Some(entry) = self.find(name)? {
            let walked = self.dictionary(&entry)?.each(|text, _| {
                texts.push(text.to_owned());
                texts.len() != limit
            });
            walked.map_err(|error| self.dictionary_error(&entry, error))?;
        }
        Ok(texts)
    }

    /// Narrows `rows` (`None`: all of them) by one matcher.
    fn apply(&self, step: &Step<'_>, rows: &mut Option<RoaringBitmap>) -> Result<(), S::Error> {
        let references = match self.find(&step.matcher.name)? {
            Some(entry) => self.references(&entry, step)?,
            None => Vec::new(),
        };
        if let ([reference], Some(rows), false) = (references.as_slice(), rows.as_mut(), step.excludes) {
            let postings = Postings::open(self.source, *reference, self.row_count)?;
            return postings.intersect(rows).map_err(|error| self.corrupt(IndexSection::Postings, error));
        }
        let mut listed = RoaringBitmap::new();
        for reference in references {
            let postings = Postings::open(self.source, reference, self.row_count)?;
            postings.add_to(&mut listed).map_err(|error| self.corrupt(IndexSection::Postings, error))?;
        }
        match (rows.as_mut(), step.excludes) {
            (Some(rows), false) => *rows &= listed,
            (Some(rows), true) => *rows -= listed,
            (None, false) => *rows = Some(listed),
            (None, true) => {
                let mut all = RoaringBitmap::new();
                all.insert_range(0..self.row_count);
                *rows = Some(all - listed);
            }
        }
        Ok(())
    }

    /// Postings of the values that pass a step's test.
    fn references(&self, entry: &NameEntry<'_>, step: &Step<'_>) -> Result<Vec<u64>, S::Error> {
        if step.test == Test::Any {
            return Ok(vec![entry.any]);
        }
        let dictionary = self.dictionary(entry)?;
        let mut found = Vec::new();
        let outcome = match &step.test {
            Test::Literals(texts) => texts.iter().try_for_each(|text| {
                found.extend(dictionary.get(text)?);
                Ok(())
            }),
            _ => search(&dictionary, step, &mut found),
        };
        outcome.map_err(|error| self.dictionary_error(entry, error))?;
        Ok(found)
    }

    fn names(&self) -> Result<Names<'a>, S::Error> {
        let section = IndexSection::Names;
        Ok(Names::new(self.source.bytes(section, 0..self.source.len(section))?))
    }

    fn find(&self, name: &str) -> Result<Option<NameEntry<'a>>, S::Error> {
        self.names()?.find(name).map_err(|error| self.corrupt(IndexSection::Names, error))
    }

    fn dictionary(&self, entry: &NameEntry<'_>) -> Result<Dictionary<'a>, S::Error> {
        let section = IndexSection::Dictionaries;
        if entry.dictionary.end > self.source.len(section) {
            let rule = "dictionary lies outside its section";
            return Err(self.corrupt(section, DecodeError { offset: entry.dictionary.start, rule }));
        }
        let bytes = self.source.bytes(section, entry.dictionary.clone())?;
        Dictionary::open(entry.kind, bytes).map_err(|error| self.dictionary_error(entry, error))
    }

    fn dictionary_error(&self, entry: &NameEntry<'_>, error: DecodeError) -> S::Error {
        let offset = entry.dictionary.start + error.offset;
        self.corrupt(IndexSection::Dictionaries, DecodeError { offset, ..error })
    }

    fn corrupt(&self, section: IndexSection, error: DecodeError) -> S::Error {
        self.source.corrupt(section, error)
    }
}

/// References of the values whose rows the step narrows to, or excludes.
fn search(dictionary: &Dictionary<'_>, step: &Step<'_>, found: &mut Vec<u64>) -> Result<(), DecodeError> {
    // The automaton knows the pattern itself; `!~` narrows by what does not match it, and excludes what does.
    let wanted_by_pattern = match step.matcher.op {
        MatchOp::Regex => !step.excludes,
        MatchOp::NotRegex => step.excludes,
        MatchOp::Equal | MatchOp::NotEqual => false,
    };
    let automaton = (wanted_by_pattern && dictionary.is_large())
        .then(|| step.matcher.regex().and_then(|regex| PatternAutomaton::new(regex.pattern())))
        .flatten();
    match automaton {
        Some(automaton) => dictionary.each_accepted(&automaton, |_, reference| {
            found.push(reference);
            true
        }),
        None => dictionary.each(|text, reference| {
            if step.matcher.matches(text) != step.excludes {
                found.push(reference);
            }
            true
        }),
    }
}

/// How to run a matcher; `None` where it passes every row.
///
/// A matcher that passes the empty value passes series without the label too: it excludes the rows whose values fail.
fn plan(matcher: &Matcher) -> Option<Step<'_>> {
    let excludes = matcher.matches_empty();
    let pattern = matcher.value.as_str();
    let test = match (matcher.op, excludes) {
        (MatchOp::Equal, false) | (MatchOp::NotEqual, true) => Test::Literals(vec![pattern]),
        (MatchOp::Equal, true) | (MatchOp::NotEqual, false) => Test::Any,
        (MatchOp::Regex, false) if pattern == ".+" => Test::Any,
        (MatchOp::Regex, true) if pattern == ".*" => return None,
        (MatchOp::Regex, true) if pattern.is_empty() => Test::Any,
        (MatchOp::NotRegex, true) if pattern == ".+" => Test::Any,
        (MatchOp::NotRegex, false) if pattern.is_empty() => Test::Any,
        (MatchOp::Regex, false) | (MatchOp::NotRegex, true) => {
            literal_set(pattern).map_or(Test::Search, Test::Literals)
        }
        (MatchOp::Regex, true) | (MatchOp::NotRegex, false) => Test::Search,
    };
    Some(Step { excludes, test, matcher })
}

#[cfg(test)]
mod tests {
    use super::super::{IndexSections, IndexWriter};
    use super::*;
    use crate::model::Labels;
    use proptest::prelude::*;

    /// Labels with a dictionary of each kind, and labels that are not everywhere.
    fn rows() -> Vec<Labels> {
        (0..600_u32)
            .map(|i| {
                let gpu = format!("gpu-{i}");
                let host = format!("host{}", i % 50);
                let zone = if i % 3 == 0 { "" } else { ["a", "b"][(i % 2) as usize] };
                Labels::from_pairs([
                    ("__name__", ["power", "temp"][(i / 300) as usize]),
                    ("gpu", if i % 7 == 0 { "" } else { &gpu }),
                    ("host", &host),
                    ("zone", zone),
                ])
            })
            .collect()
    }

    fn index(rows: &[Labels]) -> IndexSections {
        let mut writer = IndexWriter::default();
        rows.iter().for_each(|labels| writer.add_row(labels));
        writer.finish()
    }

    fn check(rows: &[Labels], sections: &IndexSections, matchers: &[Matcher]) {
        let count = u32::try_from(rows.len()).expect("few rows");
        let expected: Vec<u32> = (0..count)
            .filter(|row| matchers.iter().all(|m| m.matches_labels(&rows[*row as usize])))
            .collect();
        assert_eq!(Index::new(sections, count).select(matchers), Ok(expected), "{matchers:?}");
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop_oneof![
            Just(MatchOp::Equal),
            Just(MatchOp::NotEqual),
            Just(MatchOp::Regex),
            Just(MatchOp::NotRegex)
        ];
        let name = prop_oneof![Just("__name__"), Just("gpu"), Just("host"), Just("zone"), Just("absent")];
        let value = prop_oneof![
            Just(""),
            Just(".+"),
            Just(".*"),
            Just("power"),
            Just("a"),
            Just("a|b"),
            Just("a|"),
            Just("gpu-1"),
            Just("gpu-1.*"),
            Just("gpu-(1|2)?"),
            Just("(gpu-1.*)?"),
            Just("host1|host2|nowhere"),
            Just("host[1-3]+"),
            Just(".*3"),
        ];
        (name, op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value).expect("sound"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn selection_agrees_with_testing_every_row(matchers in proptest::collection::vec(matcher(), 0..4)) {
            let rows = rows();
            check(&rows, &index(&rows), &matchers);
        }
    }

    #[test]
    fn every_operator_meets_the_empty_value() {
        let rows = rows();
        let sections = index(&rows);
        for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
            for value in ["", ".+", ".*", "a", "a|", "b|c", "gpu-.*", "(gpu-.*)?"] {
                for name in ["zone", "gpu", "absent"] {
                    check(&rows, &sections, &[Matcher::new(name, op, value).expect("sound")]);
                }
            }
        }
    }

    #[test]
    fn names_and_values_are_listed() {
        let rows = rows();
        let sections = index(&rows);
        let index = Index::new(&sections, 600);
        assert_eq!(index.label_names().expect("sound"), ["__name__", "gpu", "host", "zone"]);
        assert_eq!(index.label_values("zone", 0).expect("sound"), ["a", "b"]);
        assert_eq!(index.label_values("host", 3).expect("sound"), ["host0", "host1", "host10"]);
        assert!(index.label_values("absent", 0).expect("sound").is_empty());
    }
}
