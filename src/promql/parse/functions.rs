//! The one table of PromQL functions: names, argument types, what is experimental.

use super::ast::ValueType;
use ValueType::{Matrix, Scalar, String as Text, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of its arguments; the last one repeats where `variadic` is not 0.
    pub args: &'static [ValueType],
    /// 0: exactly `args`. n > 0: the last n of `args` and more of the last type up to n in all are optional
    /// (upstream's meaning: at least `args.len() - 1`, at most `args.len() + variadic - 1`). -1: any number of the last.
    pub variadic: i32,
    /// Type of its value.
    pub returns: ValueType,
    /// Behind `promql-experimental-functions`.
    pub experimental: bool,
}

const fn f(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, args, variadic: 0, returns, experimental: false }
}

const fn variadic(mut function: Function, count: i32) -> Function {
    function.variadic = count;
    function
}

const fn experimental(mut function: Function) -> Function {
    function.experimental = true;
    function
}

/// All functions, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    f("abs", &[Vector], Vector),
    f("absent", &[Vector], Vector),
    f("absent_over_time", &[Matrix], Vector),
    f("acos", &[Vector], Vector),
    f("acosh", &[Vector], Vector),
    f("asin", &[Vector], Vector),
    f("asinh", &[Vector], Vector),
    f("atan", &[Vector], Vector),
    f("atanh", &[Vector], Vector),
    f("avg_over_time", &[Matrix], Vector),
    f("ceil", &[Vector], Vector),
    f("changes", &[Matrix], Vector),
    f("clamp", &[Vector, Scalar, Scalar], Vector),
    f("clamp_max", &[Vector, Scalar], Vector),
    f("clamp_min", &[Vector, Scalar], Vector),
    f("cos", &[Vector], Vector),
    f("cosh", &[Vector], Vector),
    f("count_over_time", &[Matrix], Vector),
    variadic(f("day_of_month", &[Vector], Vector), 1),
    variadic(f("day_of_week", &[Vector], Vector), 1),
    variadic(f("day_of_year", &[Vector], Vector), 1),
    variadic(f("days_in_month", &[Vector], Vector), 1),
    f("deg", &[Vector], Vector),
    f("delta", &[Matrix], Vector),
    f("deriv", &[Matrix], Vector),
    experimental(f("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector)),
    experimental(f("end", &[], Scalar)),
    f("exp", &[Vector], Vector),
    f("first_over_time", &[Matrix], Vector),
    f("floor", &[Vector], Vector),
    f("histogram_avg", &[Vector], Vector),
    f("histogram_count", &[Vector], Vector),
    f("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    f("histogram_quantile", &[Scalar, Vector], Vector),
    experimental(variadic(f("histogram_quantiles", &[Vector, Text, Scalar, Scalar], Vector), 9)),
    f("histogram_stddev", &[Vector], Vector),
    f("histogram_stdvar", &[Vector], Vector),
    f("histogram_sum", &[Vector], Vector),
    variadic(f("hour", &[Vector], Vector), 1),
    f("idelta", &[Matrix], Vector),
    f("increase", &[Matrix], Vector),
    experimental(variadic(f("info", &[Vector, Vector], Vector), 1)),
    f("irate", &[Matrix], Vector),
    variadic(f("label_join", &[Vector, Text, Text, Text], Vector), -1),
    f("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    f("last_over_time", &[Matrix], Vector),
    f("ln", &[Vector], Vector),
    f("log10", &[Vector], Vector),
    f("log2", &[Vector], Vector),
    experimental(f("mad_over_time", &[Matrix], Vector)),
    experimental(f("max_of", &[Scalar, Scalar], Scalar)),
    f("max_over_time", &[Matrix], Vector),
    experimental(f("min_of", &[Scalar, Scalar], Scalar)),
    f("min_over_time", &[Matrix], Vector),
    variadic(f("minute", &[Vector], Vector), 1),
    variadic(f("month", &[Vector], Vector), 1),
    f("pi", &[], Scalar),
    f("predict_linear", &[Matrix, Scalar], Vector),
    f("present_over_time", &[Matrix], Vector),
    f("quantile_over_time", &[Scalar, Matrix], Vector),
    f("rad", &[Vector], Vector),
    experimental(f("range", &[], Scalar)),
    f("rate", &[Matrix], Vector),
    f("resets", &[Matrix], Vector),
    variadic(f("round", &[Vector, Scalar], Vector), 1),
    f("scalar", &[Vector], Scalar),
    f("sgn", &[Vector], Vector),
    f("sin", &[Vector], Vector),
    f("sinh", &[Vector], Vector),
    f("sort", &[Vector], Vector),
    experimental(variadic(f("sort_by_label", &[Vector, Text], Vector), -1)),
    experimental(variadic(f("sort_by_label_desc", &[Vector, Text], Vector), -1)),
    f("sort_desc", &[Vector], Vector),
    f("sqrt", &[Vector], Vector),
    experimental(f("start", &[], Scalar)),
    experimental(f("start_timestamp", &[Vector], Vector)),
    f("stddev_over_time", &[Matrix], Vector),
    f("stdvar_over_time", &[Matrix], Vector),
    experimental(f("step", &[], Scalar)),
    f("sum_over_time", &[Matrix], Vector),
    f("tan", &[Vector], Vector),
    f("tanh", &[Vector], Vector),
    f("time", &[], Scalar),
    f("timestamp", &[Vector], Vector),
    experimental(f("ts_of_first_over_time", &[Matrix], Vector)),
    experimental(f("ts_of_last_over_time", &[Matrix], Vector)),
    experimental(f("ts_of_max_over_time", &[Matrix], Vector)),
    experimental(f("ts_of_min_over_time", &[Matrix], Vector)),
    f("vector", &[Scalar], Vector),
    variadic(f("year", &[Vector], Vector), 1),
];

/// The function of that name.
pub fn lookup(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_found() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(FUNCTIONS.len(), 90);
        assert!(lookup("rate").is_some_and(|rate| rate.args == [Matrix]));
        assert!(lookup("rates").is_none());
    }
}
