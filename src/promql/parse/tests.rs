//! The parser from outside: texts in, trees, texts and errors out.

use proptest::prelude::*;

use super::ast::{AtModifier, ExprKind, MatchCardinality, PosRange};
use super::*;

fn parse(text: &str) -> Expr {
    parse_expr(text, &ParserOptions::ALL).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    match parse_expr(text, &ParserOptions::ALL) {
        Ok(expr) => panic!("{text} was parsed as {expr}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn errors_name_their_place_and_cause() {
    let cases = [
        ("", "unknown position: parse error: no expression found in input"),
        ("  # nothing", "1:1: parse error: no expression found in input"),
        ("up +", "1:5: parse error: unexpected end of input"),
        ("up +\n  * 2", "2:3: parse error: unexpected <op:*>"),
        ("up) ", "1:4: parse error: unexpected right parenthesis ')'"),
        ("up down", "1:4: parse error: unexpected identifier \"down\""),
        ("up = 1", "1:4: parse error: unexpected \"=\""),
        ("rate(up[5m]", "1:12: parse error: unclosed left parenthesis"),
        ("sum(up down)", "1:8: parse error: unexpected identifier \"down\" in aggregation"),
        (
            "sum by job (up)",
            "1:8: parse error: unexpected identifier \"job\" in grouping opts, expected \"(\"",
        ),
        (
            "sum by (job host) (up)",
            "1:13: parse error: unexpected identifier \"host\" in grouping opts, expected \",\" or \")\"",
        ),
        ("sum by (1) (up)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"),
        ("sum by (\"\") (up)", "1:9: parse error: invalid label name for grouping: \"\""),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "topk(up)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("up{job}", "1:7: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        (
            "up{job=node}",
            "1:8: parse error: unexpected identifier \"node\" in label matching, expected string",
        ),
        (
            "up{job=\"a\" host=\"b\"}",
            "1:12: parse error: unexpected identifier \"host\" in label matching, expected \",\" or \"}\"",
        ),
        ("up{,}", "1:4: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
        ("{job=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("up{__name__=\"down\"}", "1:1: parse error: metric name must not be set twice: \"up\" or \"down\""),
        ("up[5m", "1:6: parse error: unclosed left bracket"),
        ("up[5]5m", "1:6: parse error: unexpected duration \"5m\""),
        ("up[0s]", "1:4: parse error: duration must be greater than 0"),
        ("up[1h]5", "1:7: parse error: unexpected number \"5\""),
        (
            "up[5m 5m]",
            "1:7: parse error: unexpected duration \"5m\" in subquery or range, expected \":\" or \"]\"",
        ),
        ("up[5m:2m 3]", "1:10: parse error: unexpected number \"3\" in subquery selector, expected \"]\""),
        ("up[1m30s1h]", "1:4: parse error: not a valid duration string: \"1m30s1h\""),
        ("up[5/0]", "1:5: parse error: division by zero"),
        ("up offset 1e11", "1:11: parse error: duration out of range"),
        (
            "up offset up",
            "1:11: parse error: unexpected identifier \"up\" in offset, expected number, duration, step(), or range()",
        ),
        ("up offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        (
            "2 offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("up @ up", "1:6: parse error: unexpected identifier \"up\" in @, expected timestamp"),
        ("up @ inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        ("up @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("up offset 1m [5m]", "1:14: parse error: no offset modifiers allowed before range"),
        ("(up)[5m]", "1:5: parse error: ranges only allowed for vector selectors"),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("rates(up[5m])", "1:1: parse error: unknown function with name \"rates\""),
        ("abs(up,)", "1:7: parse error: trailing commas not allowed in function call args"),
        ("abs()", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0"),
        ("round(up, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        (
            "label_join(up, \"a\")",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2",
        ),
        (
            "info(up, target_info)",
            "1:10: parse error: expected label selectors only, got vector selector instead",
        ),
        (
            "sum(up[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        (
            "topk(up, up)",
            "1:6: parse error: expected type scalar in aggregation parameter, got instant vector",
        ),
        ("1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("up + bool 1", "1:4: parse error: bool modifier can only be used on comparison operators"),
        ("up and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("up + on(a) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        (
            "up + on(a) group_left(a) up",
            "1:4: parse error: label \"a\" must not occur in ON and GROUP clause at once",
        ),
        ("up or on(a) group_left up", "1:1: parse error: no grouping allowed for \"or\" operation"),
        ("up or fill(1) up", "1:1: parse error: filling in missing series not allowed for set operators"),
        (
            "up + \"a\"",
            "1:6: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-up[1m]",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"",
        ),
        ("time()[1m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
        ("up anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("up[1m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
        (
            "1e999",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn features_are_off_until_switched_on() {
    let cases = [
        ("mad_over_time(up[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"),
        (
            "limitk(1, up)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("up[5m] smoothed", "1:1: parse error: smoothed modifier is experimental and not enabled"),
        ("up + fill(0) up", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ];
    for (text, message) in cases {
        let error = parse_expr(text, &ParserOptions::default()).expect_err("the feature is off");
        assert_eq!(error.to_string(), message);
        parse(text);
    }
}

#[test]
fn trees_print_as_upstream_prints_them() {
    let same = [
        "up",
        "sum by (job) (rate(up{a!=\"b\",job=~\"x|y\"}[5m]))",
        "sum without () (up)",
        "topk(5, up)",
        "a * on () b",
        "a * ignoring (x, y) group_left (z) b",
        "a / on (x) group_right () b",
        "a > bool b",
        "a + fill (0) b",
        "a + on (x) fill_left (1) fill_right (2) b",
        "-(a ^ -b)",
        "a @ 1.500 offset 1m30s",
        "a[5m] anchored @ start() offset -1d",
        "a[1h:] @ end()",
        "rate(a[5m])[1h:1m]",
        "a[(5m + 1m) * 2]",
        "a[min_of(step(), 5m)] offset -(range())",
        "{\"a.b\"=\"c\"}",
        "{__name__=\"a b\"}",
        "\"a\\n\\xff\\\"\"",
        "a </ 5",
        "1h30m",
        "-5m",
        "+Inf",
        "NaN",
        "sum by (\"a.b\", c) (up)",
        "start() + step()",
    ];
    for text in same {
        assert_eq!(parse(text).to_string(), text);
    }
    let different = [
        ("sum(up) by (job)", "sum by (job) (up)"),
        ("up{b=\"2\", a=\"1\"}", "up{a=\"1\",b=\"2\"}"),
        ("{\"up\"}", "{__name__=\"up\"}"),
        ("up OFFSET 90m", "up offset 1h30m"),
        ("up offset 5 @ 1", "up @ 1.000 offset 5s"),
        ("0x1F + 017", "31 + 15"),
        ("1e3 # thousand", "1000"),
        ("- 1", "-1"),
        ("SUM(up)", "sum(up)"),
        ("up[300]", "up[5m]"),
        ("a + ON (x) b", "a + on (x) b"),
    ];
    for (text, printed) in different {
        assert_eq!(parse(text).to_string(), printed);
    }
}

#[test]
fn long_expressions_are_laid_out() {
    let text = "sum by (job) (rate(requests_total{code=~\"5..\"}[5m])) / on (job) group_left () -sum by (job) (rate(requests_total[5m]))";
    let layout = "  sum by (job) (rate(requests_total{code=~\"5..\"}[5m]))\n/ on (job) group_left ()\n  -sum by (job) (rate(requests_total[5m]))";
    assert_eq!(pretty(&parse(text)), layout);
    assert_eq!(pretty(&parse("a+b")), "a + b");
    assert_eq!(pretty::pretty_within(&parse("topk(5, (aaaa))"), 10), "topk(\n  5,\n  (aaaa)\n)");
}

#[test]
fn operators_bind_as_documented() {
    let groups = [
        ("a or b and c unless d", "a or ((b and c) unless d)"),
        ("a + b * c ^ d ^ e", "a + (b * (c ^ (d ^ e)))"),
        ("-a ^ b * c", "(-(a ^ b)) * c"),
        ("a == b + c", "a == (b + c)"),
        ("a atan2 b % c", "(a atan2 b) % c"),
        ("a - b - c", "(a - b) - c"),
        ("a offset 1m + b", "(a offset 1m) + b"),
        ("a offset -2 ^ b", "(a offset -2) ^ b"),
    ];
    for (text, grouped) in groups {
        assert_eq!(without_parens(parse(text)), without_parens(parse(grouped)), "{text}");
    }
}

#[test]
fn nodes_keep_their_places() {
    let expr = parse("sum(a) by (x) / -rate(b[5m] offset 1m)");
    let ExprKind::Binary(binary) = &expr.kind else { panic!("a division") };
    assert_eq!((expr.pos, binary.left.pos), (PosRange { start: 0, end: 38 }, PosRange { start: 0, end: 13 }));
    let ExprKind::Unary(unary) = &binary.right.kind else { panic!("a sign") };
    let ExprKind::Call(call) = &unary.expr.kind else { panic!("a call") };
    assert_eq!(binary.right.pos, PosRange { start: 16, end: 38 });
    assert_eq!(call.args[0].pos, PosRange { start: 22, end: 37 });
}

#[test]
fn set_operators_match_many_to_many_and_scalars_not_at_all() {
    let card = |text: &str| match parse(text).kind {
        ExprKind::Binary(binary) => binary.matching.map(|matching| matching.card),
        _ => panic!("a binary operation"),
    };
    assert_eq!(card("a and b"), Some(MatchCardinality::ManyToMany));
    assert_eq!(card("a + b"), Some(MatchCardinality::OneToOne));
    assert_eq!(card("a + 1"), None);
}

#[test]
fn times_are_milliseconds() {
    let mut expr = parse("a @ 1.5 offset -90s");
    let time = expr.time_modifiers_mut().expect("a selector has them");
    assert_eq!((time.at, time.offset_ms), (Some(AtModifier::Time(1500)), -90_000));
}

#[test]
fn selectors_may_match_everything() {
    let matchers = parse_selector("a:b{c!~\"d|e\", \"f.g\"='h'}").expect("a selector");
    let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["c!~\"d|e\"", "\"f.g\"=\"h\"", "__name__=\"a:b\""]);
    assert_eq!(parse_selector("{}"), Ok(Vec::new()));
    assert!(parse_selector("a + b").is_err() && parse_selector("a[5m]").is_err());
}

#[test]
fn trees_are_shown_as_json() {
    let shown = |text: &str| to_json(&parse(text)).to_string();
    assert_eq!(
        shown("a{b=\"c\"} @ start() > bool 2"),
        concat!(
            r#"{"bool":true,"lhs":{"anchored":false,"matchers":[{"name":"b","type":"=","value":"c"},"#,
            r#"{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"#,
            r#""smoothed":false,"startOrEnd":"start","timestamp":null,"type":"vectorSelector"},"matching":null,"#,
            r#""op":">","rhs":{"type":"numberLiteral","val":"2"},"type":"binaryExpr"}"#
        )
    );
    let sum = shown("count_values without (x) (\"v\", a)");
    assert!(
        sum.contains(r#""grouping":["x"],"op":"count_values","param":{"type":"stringLiteral","val":"v"}"#)
    );
    let rate = shown("rate(a[-(1)] offset 1m)");
    assert!(
        rate.contains(r#""func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0}"#)
    );
    assert!(
        rate.contains(
            r#""rangeExpr":{"lhs":null,"op":"-","rhs":{"lhs":null,"op":"+","rhs":{"duration":false,"#
        )
    );
}

#[test]
fn nothing_is_deep_enough_to_overflow_the_stack() {
    let parens = "(".repeat(100_000) + "a" + &")".repeat(100_000);
    assert!(parse_expr(&parens, &ParserOptions::ALL).is_err());
    for unit in
        ["(", "-", "a[", "sum(", "a + (", "a ^ ", "a or ", "a[1m:1m]", "{", "a offset (", "a[(", "[5m:]"]
    {
        for tail in ["", "a", ")", "]"] {
            let text = unit.repeat(10_000 / unit.len()) + tail;
            assert!(parse_expr(&text, &ParserOptions::ALL).is_err(), "{unit}");
        }
    }
    parse(&("(".repeat(150) + "a" + &")".repeat(150)));
    parse(&vec!["a"; 450].join(" or "));
}

/// The tree without parentheses and places.
fn without_parens(mut expr: Expr) -> Expr {
    expr.pos = PosRange::default();
    expr.kind = match expr.kind {
        ExprKind::Paren(inner) => return without_parens(*inner),
        ExprKind::Binary(mut binary) => {
            binary.left = Box::new(without_parens(*binary.left));
            binary.right = Box::new(without_parens(*binary.right));
            ExprKind::Binary(binary)
        }
        ExprKind::Unary(mut unary) => {
            unary.expr = Box::new(without_parens(*unary.expr));
            ExprKind::Unary(unary)
        }
        kind => kind,
    };
    expr
}

/// Query texts out of the grammar, well typed.
fn vector_text() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("up"), Just("a:b"), Just("sum"), Just("offset"), Just("fill"), Just("start")];
    let matchers = prop_oneof![
        Just(""),
        Just("{}"),
        Just("{a=\"b\"}"),
        Just("{\"a.b\"=~'c.*', d!=\"\\u00e9\\n\"}"),
        Just("{z!~`x\\d`,}")
    ];
    let time = prop_oneof![
        Just(""),
        Just(" offset 1m"),
        Just(" @ 12.5 offset -1h30m"),
        Just(" offset step() @ end()"),
        Just(" smoothed offset (1m*2)")
    ];
    let selector =
        (name, matchers, time).prop_map(|(name, matchers, time)| format!("{name}{matchers}{time}"));
    let range =
        prop_oneof![Just("5m"), Just("90"), Just("1h + 2m*3"), Just("min_of(range(), 0x10)"), Just("(5m)")];
    selector.prop_recursive(5, 40, 3, move |inner| {
        let op = prop_oneof![
            Just("+"),
            Just("- on (a)"),
            Just("* ignoring (a, \"b.c\") group_left (d)"),
            Just("== bool"),
            Just(">= fill (1.5)"),
            Just("and on ()"),
            Just("or"),
            Just("</"),
            Just("^")
        ];
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            inner.clone().prop_map(|e| format!("-({e})")),
            inner.clone().prop_map(|e| format!("sum by (a, \"b.c\") ({e})")),
            inner.clone().prop_map(|e| format!("quantile(0.9, {e})")),
            inner.clone().prop_map(|e| format!("count_values without (x) (\"v\\xff\", {e})")),
            (inner.clone(), range.clone())
                .prop_map(|(e, range)| format!("avg_over_time(({e})[{range}:] offset -2m)")),
            inner.prop_map(|e| format!("clamp({e}, -5m, 1e300)")),
        ]
    })
}

/// The tree's debug text without its places.
fn shape(expr: &Expr) -> String {
    let text = format!("{expr:?}");
    let mut shape = String::new();
    for part in text.split("PosRange {") {
        shape.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    shape
}

proptest! {
    #[test]
    fn printed_trees_parse_to_themselves(text in vector_text()) {
        let expr = parse(&text);
        let printed = expr.to_string();
        let again = parse(&printed);
        prop_assert_eq!(&again.to_string(), &printed);
        let laid_out = pretty::pretty_within(&expr, 20);
        prop_assert_eq!(parse(&laid_out).to_string(), printed);
        let first_shape = shape(&again);
        prop_assert_eq!(shape(&parse(&again.to_string())), first_shape);
    }

    #[test]
    fn no_text_panics(text in "[a-z{}()\\[\\]:@=!~\"'`,+*/^<> 0-9._xe\\\\é\n-]{0,60}") {
        let _ = parse_expr(&text, &ParserOptions::ALL);
        let _ = parse_selector(&text);
    }
}
