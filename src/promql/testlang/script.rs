//! From a script's text to commands. A line that cannot be read spoils its own command only.

use std::sync::LazyLock;

use regex_automata::meta::Regex;

use crate::model::{Timestamp, parse_duration};
use crate::promql::parse::{SequenceValue, parse_string, parse_test_number};

use super::expect::{Expectations, ExpectedResult, ExpectedSeries, Grid, NoteExpectations, Pattern};
use super::load::{Load, LoadPlace, parse_load, parse_series};

/// A command and its line, from 1.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) kind: CommandKind,
}

/// What a command does; the error says why it cannot be read.
#[derive(Debug)]
pub(super) enum CommandKind {
    Clear,
    Load(Result<Load, String>),
    Eval(Result<Box<Eval>, String>),
    Unknown(String),
}

/// A query and what it must answer.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) query: String,
    pub(super) when: When,
    pub(super) expectations: Expectations,
}

/// Instant or range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(Timestamp),
    Over(Grid),
}

const INSTANT: &str = r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$";
const RANGE: &str = r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$";
const EXPECT: &str = r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$";
const RANGE_VECTOR: &str = r"^expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$";

static PATTERNS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    [INSTANT, RANGE, EXPECT, RANGE_VECTOR].map(|pattern| Regex::new(pattern).expect("the pattern is ours"))
});

/// The groups of a pattern in `line`, the whole match left out; `None` where it does not match.
fn groups<'a>(pattern: &Regex, line: &'a str) -> Option<Vec<&'a str>> {
    let mut captures = pattern.create_captures();
    pattern.captures(line, &mut captures);
    if !captures.is_match() {
        return None;
    }
    Some((1..captures.group_len()).map(|at| captures.get_group(at).map_or("", |span| &line[span])).collect())
}

/// The commands of a script.
pub(super) fn parse(text: &str) -> Vec<Command> {
    let lines: Vec<&str> = text.split('\n').map(str::trim).map(without_comment).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let first = at;
        at += 1;
        if line.is_empty() {
            continue;
        }
        let word = line.split([' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        let end = first + lines[first..].iter().take_while(|line| !line.is_empty()).count();
        let kind = if word == "clear" {
            CommandKind::Clear
        } else if word.starts_with("load") {
            at = end;
            let place = LoadPlace { line: first + 1, start: 0 };
            CommandKind::Load(parse_load(line, &lines[first + 1..end], place))
        } else if word.starts_with("eval") {
            let (eval, used) = parse_eval(line, &lines[first + 1..end]);
            at = first + 1 + used;
            CommandKind::Eval(eval)
        } else {
            CommandKind::Unknown(format!("invalid command {line:?}"))
        };
        commands.push(Command { line: first + 1, kind });
    }
    commands
}

/// Comments are whole lines only, and end a block as empty lines do.
fn without_comment(line: &str) -> &str {
    if line.starts_with('#') { "" } else { line }
}

/// An eval and how many of the lines under it belong to it.
fn parse_eval(line: &str, block: &[&str]) -> (Result<Box<Eval>, String>, usize) {
    let (query, modifier, when) = match parse_head(line) {
        Ok(head) => head,
        Err(error) => return (Err(error), block.len()),
    };
    let mut eval = Box::new(Eval { query, when, expectations: Expectations::default() });
    let expectations = &mut eval.expectations;
    match modifier {
        "fail" => expectations.fail = Some(Pattern::Any),
        "ordered" => expectations.ordered = true,
        "warn" => expectations.warnings.some = true,
        "info" => expectations.infos.some = true,
        _ => {}
    }
    let mut ordinal = 1;
    for (index, line) in block.iter().enumerate() {
        match eval.add_line(line, modifier == "fail", &mut ordinal) {
            Ok(Next::Line) => {}
            Ok(Next::Command) => return (Ok(eval), index + 1),
            Err(error) => return (Err(error), block.len()),
        }
    }
    (Ok(eval), block.len())
}

/// Query, suffix of `eval` and time of a command's first line.
fn parse_head(line: &str) -> Result<(String, &str, When), String> {
    if let Some(parts) = groups(&PATTERNS[0], line) {
        let at = parse_duration(parts[1])
            .map_err(|error| format!("invalid timestamp definition {:?}: {error}", parts[1]))?;
        return Ok((parts[2].to_owned(), parts[0], When::At(at)));
    }
    let parts = groups(&PATTERNS[1], line).ok_or_else(|| format!("invalid evaluation command {line:?}"))?;
    let grid = parse_grid(parts[1], parts[2], parts[3])?;
    Ok((parts[4].to_owned(), parts[0], When::Over(grid)))
}

fn parse_grid(start: &str, end: &str, step: &str) -> Result<Grid, String> {
    let time = |text: &str| parse_duration(text).map_err(|error| format!("invalid time {text:?}: {error}"));
    let grid = Grid { start: time(start)?, end: time(end)?, step_ms: time(step)? };
    if grid.end < grid.start {
        return Err(format!("end timestamp ({end}) is before start timestamp ({start})"));
    }
    Ok(grid)
}

/// What follows a line of a block.
enum Next {
    Line,
    Command,
}

impl Eval {
    fn add_line(&mut self, line: &str, is_fail: bool, ordinal: &mut usize) -> Result<Next, String> {
        let expectations = &mut self.expectations;
        if is_fail && let Some(text) = line.strip_prefix("expected_fail_message") {
            expectations.fail = Some(Pattern::Exact(text.trim().to_owned()));
            return Ok(Next::Command);
        }
        if is_fail && let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            expectations.fail = Some(Pattern::regex(pattern.trim())?);
            return Ok(Next::Command);
        }
        if line.starts_with("expect range vector") {
            let parts = groups(&PATTERNS[3], line)
                .ok_or_else(|| format!("invalid range vector definition {line:?}"))?;
            let grid = parse_grid(parts[0], parts[1], parts[2])?;
            expectations.range_vector = Some(grid);
            *ordinal += 1;
            return Ok(Next::Line);
        }
        if let Some(literal) = line.strip_prefix("expect string") {
            expectations.string = Some(parse_expected_string(literal)?);
            *ordinal += 1;
            return Ok(Next::Line);
        }
        if line.split(' ').next() == Some("expect") {
            expectations.add(line)?;
            return Ok(Next::Line);
        }
        if let Some(number) = parse_test_number(line) {
            expectations.result = ExpectedResult::Scalar(number);
            return Ok(Next::Command);
        }
        self.add_series(line, *ordinal)?;
        *ordinal += 1;
        Ok(Next::Line)
    }

    fn add_series(&mut self, line: &str, ordinal: usize) -> Result<(), String> {
        let series = parse_series(line)?;
        let is_instant = matches!(self.when, When::At(_));
        if series.values.len() > 1 && is_instant && self.expectations.range_vector.is_none() {
            return Err("expecting multiple values in instant evaluation not allowed".to_owned());
        }
        let values: Vec<SequenceValue> = series.values;
        self.expectations.result.add(ExpectedSeries { labels: series.labels, values, ordinal });
        Ok(())
    }
}

fn parse_expected_string(literal: &str) -> Result<Vec<u8>, String> {
    let literal = literal.strip_prefix(' ').unwrap_or_default();
    let is_quoted = literal.starts_with(['"', '`']);
    parse_string(literal).filter(|_| is_quoted).ok_or_else(|| {
        "expected string literal not valid - check that the string is correctly quoted".to_owned()
    })
}

impl Expectations {
    /// Adds an `expect` line.
    fn add(&mut self, line: &str) -> Result<(), String> {
        let parts = groups(&PATTERNS[2], line).ok_or_else(|| {
            "invalid expect statement, must match `expect <type> <match_type>: <string>` format".to_owned()
        })?;
        let text = parts[2].trim();
        let pattern = match parts[1] {
            "msg" => Pattern::Exact(text.to_owned()),
            "regex" => Pattern::regex(text)?,
            _ => Pattern::Any,
        };
        match parts[0] {
            "ordered" => self.ordered = true,
            "fail" if matches!(self.fail, Some(Pattern::Exact(_) | Pattern::Regex(_))) => {
                return Err("invalid expect lines, multiple expect fail lines are not allowed".to_owned());
            }
            "fail" => self.fail = Some(pattern),
            "warn" => self.warnings.patterns.push(pattern),
            "info" => self.infos.patterns.push(pattern),
            "no_warn" => self.warnings.none = true,
            _ => self.infos.none = true,
        }
        for (kind, notes) in [("warn", &self.warnings), ("info", &self.infos)] {
            if notes.contradicts_itself() {
                return Err(format!("invalid expect lines, {kind} and no_{kind} cannot be used together"));
            }
        }
        Ok(())
    }
}

impl NoteExpectations {
    const fn contradicts_itself(&self) -> bool {
        self.none && !self.patterns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> Result<Box<Eval>, String> {
        let command = parse(text).pop().expect("the text has a command");
        match command.kind {
            CommandKind::Eval(eval) => eval,
            other => panic!("{other:?} is no eval"),
        }
    }

    #[test]
    fn blocks_end_at_empty_lines_and_comments() {
        let commands = parse("# c\nload 1m\n  a 1\n\nCLEAR\neval instant at 1m a\n  a 1\n# c\nfoo\n");
        let lines: Vec<usize> = commands.iter().map(|command| command.line).collect();
        assert_eq!(lines, [2, 5, 6, 9]);
        assert!(matches!(commands[0].kind, CommandKind::Load(Ok(_))));
        assert!(matches!(commands[1].kind, CommandKind::Clear));
        assert!(matches!(&commands[2].kind, CommandKind::Eval(Ok(_))));
        assert!(matches!(commands[3].kind, CommandKind::Unknown(_)));
    }

    #[test]
    fn heads_are_taken_apart() {
        let instant = eval("eval instant at 1m30s sum(a) + 1").expect("it is sound");
        assert_eq!((instant.query.as_str(), instant.when), ("sum(a) + 1", When::At(90_000)));
        let range = eval("eval range from 0 to 10m step 30s a").expect("it is sound");
        let grid = Grid { start: 0, end: 600_000, step_ms: 30_000 };
        assert_eq!((range.query.as_str(), range.when), ("a", When::Over(grid)));
        for bad in ["eval a", "eval instant a", "eval instant at x a", "eval range from 5m to 1m step 1m a"] {
            assert!(eval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_below_say_what_is_expected() {
        let text = "eval instant at 0 a\n expect ordered\n expect warn msg: a b\n expect info regex: c.\n {b=\"1\"} 2\n c 3";
        let expectations = eval(text).expect("it is sound").expectations;
        assert!(expectations.ordered && expectations.fail.is_none());
        assert!(matches!(&expectations.warnings.patterns[..], [Pattern::Exact(text)] if text == "a b"));
        assert!(matches!(expectations.infos.patterns[..], [Pattern::Regex(_)]));
        let ExpectedResult::Series(series) = expectations.result else { panic!("series are expected") };
        let ordinals: Vec<usize> = series.iter().map(|series| series.ordinal).collect();
        assert_eq!(ordinals, [1, 2]);
    }

    #[test]
    fn numbers_strings_and_ranges_are_recognised() {
        let scalar = eval("eval instant at 0 1\n  0x10\n").expect("it is sound");
        assert!(matches!(scalar.expectations.result, ExpectedResult::Scalar(16.0)));
        let string = eval("eval instant at 0 \"a\"\n  expect string \"a\\n\"\n").expect("it is sound");
        assert_eq!(string.expectations.string.as_deref(), Some(&b"a\n"[..]));
        let range = eval("eval instant at 1m a[1m]\n expect range vector from 0 to 1m step 1m\n a 1 2");
        assert!(range.is_ok_and(|range| range.expectations.range_vector.is_some()));
        for bad in [
            "eval instant at 0 a\n a 1 2",
            "eval instant at 0 a\n expect string a",
            "eval instant at 0 a\n expect nothing",
            "eval instant at 0 a\n expect warn\n expect no_warn",
        ] {
            assert!(eval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_old_way_to_expect_failure_ends_the_block() {
        let text = "eval_fail instant at 0 a\n expected_fail_message no way\n";
        let expectations = eval(text).expect("it is sound").expectations;
        assert!(matches!(expectations.fail, Some(Pattern::Exact(text)) if text == "no way"));
    }
}
