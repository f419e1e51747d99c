//! Reads `cases.txt`, the table of what templates render.

/// The table.
pub(crate) const TEXT: &str = include_str!("cases.txt");

/// External labels that the cases see.
pub(crate) const EXTERNAL_LABELS: [(&str, &str); 2] = [("region", "eu"), ("zone", "x")];
/// External URL that the cases see.
pub(crate) const EXTERNAL_URL: &str = "http://prometheus.example.com:9090/pre%20fix";
/// Name of the alert whose annotations the cases are.
pub(crate) const ALERT: &str = "cases";
/// Minutes after which the cases are evaluated; the series have a sample each minute.
pub(crate) const MINUTES: i64 = 5;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Descriptions of series and their samples, in the notation of rule tests.
    pub(crate) series: Vec<&'static str>,
    /// Cases by the expression whose result they see.
    pub(crate) sections: Vec<Section>,
}

/// Cases over one expression.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) expr: &'static str,
    pub(crate) cases: Vec<Case>,
}

/// A template and what comes of it.
#[derive(Debug)]
pub(crate) struct Case {
    /// Line of the table.
    pub(crate) line: usize,
    pub(crate) template: String,
    pub(crate) outcome: Outcome,
    pub(crate) expected: String,
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This text, which is an error's where it says so.
    Rendered,
    /// The same, but the peer's release does not know it yet.
    RenderedByNewer,
    /// The template is refused with this message.
    Refused,
    /// Upstream renders something else, for the reason given above the case.
    RenderedByUs,
}

/// The whole table.
pub(crate) fn read() -> Table {
    let mut table = Table::default();
    let mut expects = false;
    for (index, line) in TEXT.lines().enumerate() {
        let (mark, rest) = line.split_at(line.len().min(1));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "" | "#" => continue,
            "+" => table.series.push(rest),
            "=" => table.sections.push(Section { expr: rest, cases: Vec::new() }),
            ">" => {
                let case = Case::new(index + 1, rest);
                table.sections.last_mut().expect("an expression stands above").cases.push(case);
            }
            mark => {
                let section = table.sections.last_mut().expect("an expression stands above");
                let case = section.cases.last_mut().expect("a template stands above");
                case.read(mark, rest, expects);
            }
        }
        expects = !matches!(mark, ">") && (expects || mark != "|");
    }
    table
}

impl Case {
    fn new(line: usize, template: &str) -> Self {
        let (template, expected) = (template.to_owned(), String::new());
        Self { line, template, outcome: Outcome::Rendered, expected }
    }

    /// A line below the template's first; `expects` where the expectation has begun above it.
    fn read(&mut self, mark: &str, rest: &str, expects: bool) {
        self.outcome = match mark {
            "<" => Outcome::Rendered,
            "^" => Outcome::RenderedByNewer,
            "!" => Outcome::Refused,
            "~" => Outcome::RenderedByUs,
            "|" => {
                let text = if expects { &mut self.expected } else { &mut self.template };
                text.push('\n');
                text.push_str(rest);
                return;
            }
            _ => panic!("line {}: unknown mark {mark:?}", self.line),
        };
        self.expected = rest.to_owned();
    }
}
