use super::*;

fn parse(text: &str) -> Result<RuleFile, Vec<String>> {
    RuleFile::parse("r.yml", text, &RuleFileOptions::default())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn errors(text: &str) -> Vec<String> {
    parse(text).expect_err("the text is wrong")
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_field_is_read() {
    let text = "
groups:
- name: g
  interval: 1m30s
  query_offset: 5s
  limit: 10
  labels: {team: a, number: 1.50, empty: ~}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {kind: true}
  - alert: Down
    expr: |
      up
        == 0
    for: 5m
    keep_firing_for: 1h
    labels: {severity: page}
    annotations: {summary: it is down}
- name: h
";
    let file = parse(text).expect("the text is sound");
    assert_eq!((file.path.as_str(), file.has_more_documents, file.groups.len()), ("r.yml", false, 2));
    let group = &file.groups[0];
    assert_eq!((group.name.as_str(), group.interval, group.limit), ("g", DurationMs(90_000), 10));
    assert_eq!(group.query_offset, Some(DurationMs(5_000)));
    assert_eq!(group.labels, map(&[("team", "a"), ("number", "1.50"), ("empty", "")]));
    assert_eq!(group.place, Place { line: 3, column: 3 });
    let [recording, alerting] = group.rules.as_slice() else { panic!("two rules") };
    assert_eq!((recording.name(), recording.expr.as_str()), ("job:up:sum", "sum by (job) (up)"));
    assert_eq!(recording.labels, map(&[("kind", "true")]));
    assert_eq!(recording.place, Place { line: 10, column: 11 });
    assert_eq!((alerting.name(), alerting.expr.as_str()), ("Down", "up\n  == 0\n"));
    assert_eq!((alerting.hold, alerting.keep_firing_for), (DurationMs(300_000), DurationMs(3_600_000)));
    assert_eq!(alerting.place, Place { line: 13, column: 11 });
    assert_eq!(alerting.labels, map(&[("severity", "page")]));
    assert_eq!(alerting.annotations, map(&[("summary", "it is down")]));
    assert_eq!(
        file.groups[1],
        GroupConfig { name: "h".to_owned(), place: Place { line: 20, column: 3 }, ..GroupConfig::default() }
    );
}

#[test]
fn nothing_is_no_groups() {
    for text in ["", "\n", "# only a comment\n", "~", "groups:", "groups: []", "groups: [~]", "---\n...\n"] {
        assert_eq!(parse(text), Ok(RuleFile { path: "r.yml".to_owned(), ..RuleFile::default() }), "{text:?}");
    }
}

#[test]
fn nulls_are_read_as_upstream_reads_them() {
    let text = "groups: [{name: g, interval: ~, query_offset: ~, limit: ~, labels: ~, rules: [~, \
                {record: r, expr: 1, for: ~, labels: ~, annotations: {}}]}]";
    let file = parse(text).expect("the text is sound");
    assert_eq!((file.groups[0].rules.len(), file.groups[0].query_offset), (1, None));
    let limits = [("-3", 0), ("0x10", 16), ("1_000", 1000), ("2.9", 2), ("010", 8)];
    for (written, limit) in limits {
        let file = parse(&format!("groups: [{{name: g, limit: {written}}}]")).expect("the text is sound");
        assert_eq!(file.groups[0].limit, limit, "{written}");
    }
}

#[test]
fn of_several_documents_the_first_counts() {
    let file = parse("groups: [{name: g}]\n---\nfoo: [").expect("the first document is sound");
    assert!(file.has_more_documents);
    assert_eq!(file.groups.len(), 1);
    assert!(!parse("groups: [{name: g}]\n# end\n").expect("sound").has_more_documents);
}

#[test]
fn anchors_aliases_and_merges_work() {
    let text = "
groups:
- name: g
  rules:
  - &base
    alert: A
    expr: &expr up == 0
    for: 5m
    labels: &labels {severity: page, team: a}
  - <<: *base
    alert: B
    labels:
      <<: *labels
      team: b
  - alert: C
    <<: [{expr: vector(1), for: 1m}, *base]
    expr: *expr
";
    let file = parse(text).expect("the text is sound");
    let [a, b, c] = file.groups[0].rules.as_slice() else { panic!("three rules") };
    assert_eq!((a.name(), b.name(), c.name()), ("A", "B", "C"));
    assert_eq!((b.expr.as_str(), b.hold), ("up == 0", DurationMs(300_000)));
    assert_eq!(b.labels, map(&[("severity", "page"), ("team", "b")]));
    assert_eq!((c.expr.as_str(), c.hold), ("up == 0", DurationMs(60_000)));
    assert_eq!(c.labels, a.labels);
}

#[test]
fn unknown_fields_are_refused_or_passed_over() {
    let text = "x: 1\ngroups:\n- name: g\n  y: 1\n  rules:\n  - record: r\n    expr: up\n    z: {a: [b]}\n";
    assert_eq!(
        errors(text),
        [
            "r.yml: 1:1: field x not found in type rulefmt.RuleGroups",
            "r.yml: 4:3: field y not found in type rulefmt.RuleGroup",
            "r.yml: 8:5: group \"g\", rule 1, \"r\": field z not found in type rulefmt.Rule",
        ]
    );
    let options = RuleFileOptions { ignore_unknown_fields: true, ..RuleFileOptions::default() };
    assert!(RuleFile::parse("r.yml", text, &options).is_ok());
}

#[test]
fn mistakes_in_blocks_of_lines_are_told_where_they_stand() {
    let in_expr = |expr: &str| {
        let text = format!("groups:\n- name: g\n  rules:\n  - record: r\n    expr: {expr}\n");
        errors(&text).remove(0)
    };
    let said = "group \"g\", rule 1, \"r\": could not parse expression";
    let literal = "|\n      sum(up)\n        +* 1";
    assert!(in_expr(literal).starts_with(&format!("r.yml: 7:10: {said}: 2:4: parse error: ")));
    let behind_empty_lines = "&a |-  # the sum\n\n\n      sum(up)\n        +* 1\n\n";
    assert!(in_expr(behind_empty_lines).starts_with(&format!("r.yml: 9:10: {said}: 4:4: parse error: ")));
    let explicit = "|2\n        up\n       +* é";
    assert!(in_expr(explicit).starts_with(&format!("r.yml: 7:9: {said}: 2:3: parse error: ")));
    let folded = ">\n      sum(up)\n      +* 1";
    assert!(in_expr(folded).starts_with(&format!("r.yml: 5:11: {said}: ")));
    assert!(in_expr("sum(up) +* 1").starts_with(&format!("r.yml: 5:11: {said}: 1:10: ")));
}

#[test]
fn names_follow_the_scheme() {
    let text = "groups: [{name: g, labels: {a.b: c}, rules: [{record: x.y, expr: up, labels: {d.e: f}}]}]";
    assert!(parse(text).is_ok());
    let options = RuleFileOptions { name_validation: NameValidation::Legacy, ..RuleFileOptions::default() };
    let errors = RuleFile::parse("", text, &options).expect_err("names have dots");
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "1:29: invalid label name: a.b",
            "1:55: group \"g\", rule 1, \"x.y\": invalid recording rule name: x.y",
            "1:79: group \"g\", rule 1, \"x.y\": invalid label name: d.e",
        ]
    );
}

#[test]
fn what_aliases_stand_for_is_bounded() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='k').zip('a'..) {
        let items = vec![format!("*{before}"); 10].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{items}]\n"));
    }
    let told = errors(&bomb);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("yaml: document contains excessive aliasing"), "{told:?}");
}

#[test]
fn nesting_is_bounded() {
    let brackets = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(errors(&brackets)[0].ends_with("yaml: nested deeper than 64"));
    let mut chain = "- &a0 x\n".to_owned();
    for at in 1..1_000 {
        chain.push_str(&format!("- &a{at} [*a{}]\n", at - 1));
    }
    assert!(errors(&chain)[0].ends_with("yaml: nested deeper than 64"));
    assert_eq!(errors("&a [*a]"), ["r.yml: 1:5: yaml: anchor value contains itself"]);
}

#[test]
fn errors_are_all_told_up_to_a_thousand() {
    let rules = "  - {}\n".repeat(2_000);
    assert_eq!(errors(&format!("groups:\n- name: g\n  rules:\n{rules}")).len(), 1_000);
}

#[test]
fn files_are_read_by_pattern_and_refused_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).expect("is written");
    write("a.yml", b"groups: [{name: g}]");
    write("b.yml", b"groups: [{name: g}]");
    let pattern = format!("{}/*.yml", folder.path().display());
    let one = format!("{}/a.yml", folder.path().display());
    let options = RuleFileOptions::default();
    let files = load_files([one.as_str(), pattern.as_str()], &options).expect("both are sound");
    let names: Vec<&str> = files.iter().map(|file| &file.path[file.path.len() - 5..]).collect();
    assert_eq!(names, ["a.yml", "b.yml"]);
    write("b.yml", b"x: 1\n");
    write("c.yml", b"groups:\n- name: \xff\n");
    let errors = load_files([pattern.as_str()], &options).expect_err("two are wrong");
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].ends_with("b.yml: 1:1: field x not found in type rulefmt.RuleGroups"), "{told:?}");
    assert!(told[1].ends_with("c.yml: 2:9: yaml: invalid UTF-8"), "{told:?}");
    let missing = RuleFile::read(Path::new("/nowhere/r.yml"), &options).expect_err("there is no such file");
    let message = "/nowhere/r.yml: open /nowhere/r.yml: no such file or directory";
    assert_eq!(missing[0].to_string(), message);
}
