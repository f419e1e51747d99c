//! The language as the peer at hand knows it: what there is to combine.

/// Functions of a float, value by value.
pub(super) const ELEMENTWISE: &[&str] = &[
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg", "exp", "floor",
    "ln", "log10", "log2", "rad", "sgn", "sin", "sinh", "sqrt", "tan", "tanh",
];
/// Functions of a time; without an argument, of the evaluation's.
pub(super) const DATE: &[&str] =
    &["day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year"];
/// Functions of a range vector alone that answer a value per series.
pub(super) const OVER_RANGE: &[&str] = &[
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];
/// Of these, the ones that answer histograms for histograms.
pub(super) const HISTOGRAMS_OVER_RANGE: &[&str] =
    &["avg_over_time", "delta", "idelta", "increase", "irate", "last_over_time", "rate", "sum_over_time"];
/// Functions with a shape of their own.
pub(super) const PARTICULAR: &[&str] = &[
    "absent",
    "absent_over_time",
    "clamp",
    "clamp_max",
    "clamp_min",
    "double_exponential_smoothing",
    "info",
    "label_join",
    "label_replace",
    "pi",
    "predict_linear",
    "quantile_over_time",
    "round",
    "scalar",
    "sort",
    "sort_by_label",
    "sort_by_label_desc",
    "sort_desc",
    "time",
    "timestamp",
    "vector",
];
/// Functions of native histograms, two of them of classic ones too.
pub(super) const OF_HISTOGRAMS: &[&str] = &[
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
];
/// Functions that answer a scalar, which set operators do not take.
pub(super) const SCALARS: &[&str] = &["pi", "scalar", "time"];

/// Arithmetic operators.
pub(super) const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
/// Comparisons; each may have `bool`.
pub(super) const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
/// Set operators.
pub(super) const SETS: &[&str] = &["and", "or", "unless"];

/// Aggregations without a parameter.
pub(super) const AGGREGATIONS: &[&str] = &["avg", "count", "group", "max", "min", "stddev", "stdvar", "sum"];
/// Aggregations with one.
pub(super) const PARAMETRIC: &[&str] =
    &["bottomk", "count_values", "limit_ratio", "limitk", "quantile", "topk"];

/// All functions.
pub(super) fn functions() -> Vec<&'static str> {
    [ELEMENTWISE, DATE, OVER_RANGE, PARTICULAR, OF_HISTOGRAMS].concat()
}

/// All binary operators.
pub(super) fn operators() -> Vec<&'static str> {
    [ARITHMETIC, COMPARISONS, SETS].concat()
}

/// Each operator with each function as an operand, as far as types allow.
pub(super) fn pairs() -> Vec<(&'static str, &'static str)> {
    let all = operators().into_iter().flat_map(|op| functions().into_iter().map(move |name| (op, name)));
    all.filter(|(op, name)| !SETS.contains(op) || !SCALARS.contains(name)).collect()
}

/// Everything else that a query may be made of and that must be seen.
pub(super) fn constructs() -> Vec<String> {
    let mut all: Vec<String> =
        [AGGREGATIONS, PARAMETRIC].concat().iter().map(|name| format!("aggregation:{name}")).collect();
    all.extend(functions().iter().map(|name| format!("function:{name}")));
    all.extend(operators().iter().map(|name| format!("operator:{name}")));
    let others = [
        "aggregation by",
        "aggregation without",
        "aggregation over all",
        "matching:on",
        "matching:ignoring",
        "matching:group_left",
        "matching:group_right",
        "matching:bool",
        "matching:plain",
        "modifier:offset",
        "modifier:negative offset",
        "modifier:@",
        "modifier:@ start()",
        "modifier:@ end()",
        "range:selector",
        "range:subquery",
        "range:subquery default step",
        "range:duration expression",
        "matcher:=",
        "matcher:!=",
        "matcher:=~",
        "matcher:!~",
        "selector:UTF-8 name",
        "unary minus",
        "parentheses",
        "literal",
        "instant",
        "range",
    ];
    all.extend(others.iter().map(|name| (*name).to_owned()));
    all
}

#[test]
fn only_what_both_know_is_asked() {
    use perdura::promql::parse::functions::FUNCTIONS;
    // Functions that came after the peer at hand: 3.6 to 3.14.
    const NEWER: &[&str] = &[
        "end",
        "first_over_time",
        "histogram_quantiles",
        "max_of",
        "min_of",
        "range",
        "start",
        "start_timestamp",
        "step",
        "ts_of_first_over_time",
    ];
    let mut known = [functions(), NEWER.to_vec()].concat();
    known.sort_unstable();
    let ours: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
    assert_eq!(known, ours);
}
