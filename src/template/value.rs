//! What a template computes with: Go's values, as far as templates meet them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::time::Time;
use crate::model::{FloatHistogram, Labels};
use crate::promql::{SampleValue, VectorSample};

/// A value. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// What is not there, and `nil`.
    Nothing,
    Bool(bool),
    Int(IntKind, i64),
    Float(f64),
    Complex(f64, f64),
    /// Text; any bytes, as slicing may cut characters.
    Text(Arc<[u8]>),
    /// Text marked as safe HTML.
    Html(Arc<[u8]>),
    Labels(Labels),
    Args(Arc<Args>),
    List(ListKind, Arc<[Value]>),
    Sample(Arc<VectorSample>),
    Histogram(Arc<FloatHistogram>),
    Span(i32, u32),
    Time(Time),
    /// A pointer to a time: equal only to itself.
    TimePointer(Arc<Time>),
    /// A pointer to nanoseconds: equal only to itself.
    DurationPointer(Arc<i64>),
    /// What `.` is at the top.
    Data(Arc<Data>),
}

/// What `.` is at the top.
#[derive(Debug, PartialEq)]
pub(super) struct Data {
    pub(super) labels: Labels,
    pub(super) external_labels: Labels,
    pub(super) external_url: Value,
    pub(super) value: Value,
}

impl Data {
    /// One field.
    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(Value::Labels(self.labels.clone())),
            "ExternalLabels" => Some(Value::Labels(self.external_labels.clone())),
            "ExternalURL" => Some(self.external_url.clone()),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }
}

/// Types of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntKind {
    Int,
    Int32,
    Int64,
    Uint8,
    Uint32,
    Month,
    Weekday,
    CounterResetHint,
    /// Nanoseconds.
    Duration,
}

/// Types of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    Samples,
    Floats,
    Spans,
}

/// What `args` makes: `arg0`, `arg1` and so on.
#[derive(Debug, PartialEq)]
pub(super) struct Args {
    pub(super) entries: BTreeMap<String, Value>,
    /// How many of these are nested in it, itself included.
    pub(super) depth: usize,
}

impl Value {
    pub(super) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().into())
    }

    pub(super) fn int(value: i64) -> Self {
        Self::Int(IntKind::Int, value)
    }

    pub(super) fn count(count: usize) -> Self {
        Self::int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The type's name as Go's messages write it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nothing => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(kind, _) => kind.name(),
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::Text(_) => "string",
            Self::Html(_) => "template.HTML",
            Self::Labels(_) => "map[string]string",
            Self::Args(_) => "map[string]interface {}",
            Self::List(kind, _) => kind.name(),
            Self::Sample(_) => "*template.sample",
            Self::Histogram(_) => "*histogram.FloatHistogram",
            Self::Span(..) => "histogram.Span",
            Self::Time(_) => "time.Time",
            Self::TimePointer(_) => "*time.Time",
            Self::DurationPointer(_) => "*time.Duration",
            Self::Data(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
            }
        }
    }

    /// The name of what a pointer points at, and of everything else its own.
    pub(super) fn type_name_behind(&self) -> &'static str {
        self.type_name().trim_start_matches('*')
    }

    /// Whether conditions take it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bool(value) => *value,
            Self::Int(_, value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::Text(text) | Self::Html(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Args(args) => !args.entries.is_empty(),
            Self::List(_, items) => !items.is_empty(),
            Self::Sample(_)
            | Self::Histogram(_)
            | Self::Span(..)
            | Self::Time(_)
            | Self::TimePointer(_)
            | Self::DurationPointer(_)
            | Self::Data(_) => true,
        }
    }

    /// One field of what is a struct or points at one.
    pub(super) fn field(&self, name: &str) -> Option<Value> {
        match self {
            Self::Data(data) => data.field(name),
            _ => self.fields()?.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value),
        }
    }

    /// Fields of what is a struct, or points at one, by name; `None` for everything else.
    pub(super) fn fields(&self) -> Option<Vec<(&'static str, Value)>> {
        match self {
            Self::Data(data) => {
                let names = ["Labels", "ExternalLabels", "ExternalURL", "Value"];
                Some(names.into_iter().filter_map(|name| Some((name, data.field(name)?))).collect())
            }
            Self::Sample(sample) => Some(vec![
                ("Labels", Self::Labels(sample.labels.clone())),
                ("Value", Self::from(&sample.value)),
            ]),
            Self::Histogram(histogram) => Some(histogram_fields(histogram)),
            Self::Span(offset, length) => Some(vec![
                ("Offset", Self::Int(IntKind::Int32, i64::from(*offset))),
                ("Length", Self::Int(IntKind::Uint32, i64::from(*length))),
            ]),
            _ => None,
        }
    }
}

fn histogram_fields(histogram: &FloatHistogram) -> Vec<(&'static str, Value)> {
    let floats = |values: &[f64]| {
        Value::List(ListKind::Floats, values.iter().map(|value| Value::Float(*value)).collect())
    };
    let spans = |spans: &[crate::model::Span]| {
        let items = spans.iter().map(|span| Value::Span(span.offset, span.length));
        Value::List(ListKind::Spans, items.collect())
    };
    vec![
        ("CounterResetHint", Value::Int(IntKind::CounterResetHint, histogram.counter_reset_hint as i64)),
        ("Schema", Value::Int(IntKind::Int32, i64::from(histogram.schema))),
        ("ZeroThreshold", Value::Float(histogram.zero_threshold)),
        ("ZeroCount", Value::Float(histogram.zero_count)),
        ("Count", Value::Float(histogram.count)),
        ("Sum", Value::Float(histogram.sum)),
        ("PositiveSpans", spans(&histogram.positive_spans)),
        ("NegativeSpans", spans(&histogram.negative_spans)),
        ("PositiveBuckets", floats(&histogram.positive_buckets)),
        ("NegativeBuckets", floats(&histogram.negative_buckets)),
        ("CustomValues", floats(&histogram.custom_values)),
    ]
}

impl From<&SampleValue> for Value {
    fn from(value: &SampleValue) -> Self {
        match value {
            SampleValue::Float(value) => Self::Float(*value),
            SampleValue::Histogram(histogram) => Self::Histogram(Arc::clone(histogram)),
        }
    }
}

impl IntKind {
    fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Uint32 => "uint32",
            Self::Month => "time.Month",
            Self::Weekday => "time.Weekday",
            Self::CounterResetHint => "histogram.CounterResetHint",
            Self::Duration => "time.Duration",
        }
    }

    pub(super) fn is_unsigned(self) -> bool {
        matches!(self, Self::Uint8 | Self::Uint32 | Self::CounterResetHint)
    }
}

impl ListKind {
    fn name(self) -> &'static str {
        match self {
            Self::Samples => "template.queryResult",
            Self::Floats => "[]float64",
            Self::Spans => "[]histogram.Span",
        }
    }
}
