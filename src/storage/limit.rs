//! How many series a store may hold, and what it says of those that it keeps out.

use std::fmt;

use crate::model::GoQuoted;

/// Most active series: those that the head knows. 0 for any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesLimits {
    /// In all, of every tenant.
    pub total: u64,
    /// With one metric name, of one tenant.
    pub per_metric: u64,
    /// With one value of the label `job`, of one tenant.
    pub per_job: u64,
}

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeriesLimit {
    /// [`SeriesLimits::total`]
    Total,
    /// [`SeriesLimits::per_metric`]
    Metric,
    /// [`SeriesLimits::per_job`]
    Job,
}

impl SeriesLimit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Total, Self::Metric, Self::Job];

    /// What metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Metric => "metric",
            Self::Job => "job",
        }
    }
}

/// New series of a batch that one limit kept out, and what made it full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRefusal {
    /// Which limit.
    pub limit: SeriesLimit,
    /// How many series it allows.
    pub max: u64,
    /// The metric or the job that reached it; empty for all series.
    pub subject: String,
    /// How many series of the batch were kept out.
    pub series: usize,
    /// What fills the limit; `None` where that was not looked for.
    pub cause: Option<SeriesCause>,
}

/// What a limit on series is filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesCause {
    /// The metric with the most series; empty where it is the names that are many.
    pub metric: String,
    /// The label of which the metric's series have the most values.
    pub label: String,
    /// How many values that are, among the series that were looked at.
    pub values: u64,
    /// How many series were looked at.
    pub looked_at: u64,
}

impl fmt::Display for SeriesRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (series, max, subject) = (self.series, self.max, GoQuoted(&self.subject));
        match self.limit {
            SeriesLimit::Total => write!(f, "limit of {max} series in all reached")?,
            SeriesLimit::Metric => write!(f, "limit of {max} series for metric {subject} reached")?,
            SeriesLimit::Job => write!(f, "limit of {max} series for job {subject} reached")?,
        }
        write!(f, ": {series} new series refused")?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, "; {cause}"))
    }
}

impl fmt::Display for SeriesCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, label, values, looked_at } = self;
        f.write_str("most values has label ")?;
        write!(f, "{}", GoQuoted(label))?;
        if !metric.is_empty() {
            write!(f, " of metric {}", GoQuoted(metric))?;
        }
        write!(f, " ({values} among {looked_at} series)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_metric_and_label() {
        let cause =
            SeriesCause { metric: "hits".to_owned(), label: "id".to_owned(), values: 9, looked_at: 10 };
        let mut refusal = SeriesRefusal {
            limit: SeriesLimit::Job,
            max: 10,
            subject: "web".to_owned(),
            series: 3,
            cause: Some(cause),
        };
        assert_eq!(
            refusal.to_string(),
            "limit of 10 series for job \"web\" reached: 3 new series refused; \
             most values has label \"id\" of metric \"hits\" (9 among 10 series)"
        );
        refusal.cause = None;
        refusal.limit = SeriesLimit::Total;
        assert_eq!(refusal.to_string(), "limit of 10 series in all reached: 3 new series refused");
    }
}
