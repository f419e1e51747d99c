//! Rule files that are to be refused, each with all that is to be said of it.

/// A file that is wrong.
pub(crate) struct BadFile {
    /// What is wrong with it.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
    /// Every error without the file's name: place, rule, reason.
    pub(crate) errors: &'static [&'static str],
}

/// At least one for each check.
pub(crate) const BAD_FILES: &[BadFile] = &[
    BadFile {
        name: "tab for indentation",
        text: "groups:\n\t- name: g\n",
        errors: &["2:2: yaml: tabs disallowed within this context (block indentation)"],
    },
    BadFile {
        name: "open bracket",
        text: "groups:
- name: g
  rules: [
",
        errors: &["3:10: yaml: unclosed bracket '['"],
    },
    BadFile {
        name: "open quote",
        text: r#"groups:
- name: "g
"#,
        errors: &["3:1: yaml: invalid indentation in multiline quoted scalar"],
    },
    BadFile {
        name: "two mappings in a line",
        text: "groups:
- name: g: h
",
        errors: &["2:10: yaml: mapping values are not allowed in this context"],
    },
    BadFile {
        name: "unknown anchor",
        text: "groups:
- name: *nobody
",
        errors: &["2:9: yaml: while parsing node, found unknown anchor"],
    },
    BadFile {
        name: "anchor in itself",
        text: "groups: &a
- name: g
  rules: *a
",
        errors: &["3:10: yaml: anchor value contains itself"],
    },
    BadFile {
        name: "wrong indentation",
        text: "groups:
- name: g
 rules: []
",
        errors: &["3:2: yaml: while parsing a block mapping, did not find expected key"],
    },
    BadFile {
        name: "merge of a text",
        text: "groups:
- <<: abc
  name: g
",
        errors: &["2:7: map merge requires map or sequence of maps as the value"],
    },
    BadFile {
        name: "key twice",
        text: "groups:
- name: g
  name: h
",
        errors: &[r#"3:3: mapping key "name" already defined at line 2"#],
    },
    BadFile {
        name: "text for the file",
        text: "groups
",
        errors: &["1:1: cannot unmarshal !!str `groups` into rulefmt.RuleGroups"],
    },
    BadFile {
        name: "list for the file",
        text: "- name: g
",
        errors: &["1:1: cannot unmarshal !!seq into rulefmt.RuleGroups"],
    },
    BadFile {
        name: "text for groups",
        text: "groups: abc
",
        errors: &["1:9: cannot unmarshal !!str `abc` into []rulefmt.RuleGroup"],
    },
    BadFile {
        name: "mapping for groups",
        text: "groups: {name: g}
",
        errors: &["1:9: cannot unmarshal !!map into []rulefmt.RuleGroup"],
    },
    BadFile {
        name: "text for a group",
        text: "groups:
- abcdefghijklm
",
        errors: &["2:3: cannot unmarshal !!str `abcdefg...` into rulefmt.RuleGroup"],
    },
    BadFile {
        name: "list for a name",
        text: "groups:
- name: [g]
",
        errors: &["2:9: cannot unmarshal !!seq into string"],
    },
    BadFile {
        name: "text for a limit",
        text: "groups:
- name: g
  limit: many
",
        errors: &["3:10: cannot unmarshal !!str `many` into int"],
    },
    BadFile {
        name: "quoted number for a limit",
        text: r#"groups:
- name: g
  limit: "5"
"#,
        errors: &["3:10: cannot unmarshal !!str `5` into int"],
    },
    BadFile {
        name: "list for a limit",
        text: "groups:
- name: g
  limit: [5]
",
        errors: &["3:10: cannot unmarshal !!seq into int"],
    },
    BadFile {
        name: "mapping for rules",
        text: "groups:
- name: g
  rules: {record: r}
",
        errors: &["3:10: cannot unmarshal !!map into []rulefmt.Rule"],
    },
    BadFile {
        name: "number for a rule",
        text: "groups:
- name: g
  rules:
  - 5
",
        errors: &[r#"4:5: group "g", rule 1, "": cannot unmarshal !!int `5` into rulefmt.Rule"#],
    },
    BadFile {
        name: "list for labels",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: up
    labels: [a]
",
        errors: &[r#"6:13: group "g", rule 1, "r": cannot unmarshal !!seq into map[string]string"#],
    },
    BadFile {
        name: "mapping for a label",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: up
    labels:
      a: {b: c}
",
        errors: &[r#"7:10: group "g", rule 1, "r": cannot unmarshal !!map into string"#],
    },
    BadFile {
        name: "mapping for an expression",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: {up: 1}
",
        errors: &[r#"5:11: group "g", rule 1, "r": cannot unmarshal !!map into string"#],
    },
    BadFile {
        name: "unknown field of the file",
        text: "group: []
groups: []
",
        errors: &["1:1: field group not found in type rulefmt.RuleGroups"],
    },
    BadFile {
        name: "unknown field of a group",
        text: "groups:
- name: g
  intervall: 1m
",
        errors: &["3:3: field intervall not found in type rulefmt.RuleGroup"],
    },
    BadFile {
        name: "unknown field of a rule",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: up
    label: {a: b}
",
        errors: &[r#"6:5: group "g", rule 1, "r": field label not found in type rulefmt.Rule"#],
    },
    BadFile {
        name: "unknown field merged in",
        text: "groups:
- name: g
  rules:
  - &a {record: r, expr: up}
  - <<: [*a, {x: 1}]
    record: s
",
        errors: &[r#"5:15: group "g", rule 2, "s": field x not found in type rulefmt.Rule"#],
    },
    BadFile {
        name: "interval without unit",
        text: "groups:
- name: g
  interval: 15
",
        errors: &[r#"3:13: not a valid duration string: "15""#],
    },
    BadFile {
        name: "negative interval",
        text: "groups:
- name: g
  interval: -15s
",
        errors: &[r#"3:13: not a valid duration string: "-15s""#],
    },
    BadFile {
        name: "wrong order of units",
        text: "groups:
- name: g
  query_offset: 1s1m
",
        errors: &[r#"3:17: not a valid duration string: "1s1m""#],
    },
    BadFile {
        name: "unknown unit",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    for: 5 minutes
",
        errors: &[r#"6:10: group "g", rule 1, "a": unknown unit " minutes" in duration "5 minutes""#],
    },
    BadFile {
        name: "too long duration",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    keep_firing_for: 300y
",
        errors: &[r#"6:22: group "g", rule 1, "a": duration out of range"#],
    },
    BadFile {
        name: "empty duration",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    for: ''
",
        errors: &[r#"6:10: group "g", rule 1, "a": empty duration string"#],
    },
    BadFile {
        name: "group without name",
        text: "groups:
- rules: []
",
        errors: &["2:3: Groupname must not be empty"],
    },
    BadFile {
        name: "group twice",
        text: "groups:
- name: g
- name: h
- name: g
",
        errors: &[r#"4:3: groupname: "g" is repeated in the same file"#],
    },
    BadFile {
        name: "name as a label of a group",
        text: "groups:
- name: g
  labels:
    __name__: x
",
        errors: &["4:5: invalid label name: __name__"],
    },
    BadFile {
        name: "empty label of a group",
        text: r#"groups:
- name: g
  labels: {"": x}
"#,
        errors: &["3:12: invalid label name: "],
    },
    BadFile {
        name: "both record and alert",
        text: "groups:
- name: g
  rules:
  - record: r
    alert: a
    expr: up
",
        errors: &[r#"4:13: 5:12: group "g", rule 1, "a": only one of 'record' and 'alert' must be set"#],
    },
    BadFile {
        name: "neither record nor alert",
        text: "groups:
- name: g
  rules:
  - expr: up
",
        errors: &[r#"4:5: group "g", rule 1, "": one of 'record' or 'alert' must be set"#],
    },
    BadFile {
        name: "no expression",
        text: "groups:
- name: g
  rules:
  - record: r
",
        errors: &[r#"4:5: group "g", rule 1, "r": field 'expr' must be set in rule"#],
    },
    BadFile {
        name: "empty expression",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: ''
",
        errors: &[r#"5:11: group "g", rule 1, "a": field 'expr' must be set in rule"#],
    },
    BadFile {
        name: "for in a recording rule",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: up
    for: 1m
",
        errors: &[r#"4:13: group "g", rule 1, "r": invalid field 'for' in recording rule"#],
    },
    BadFile {
        name: "keep_firing_for in a recording rule",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: up
    keep_firing_for: 1m
",
        errors: &[r#"4:13: group "g", rule 1, "r": invalid field 'keep_firing_for' in recording rule"#],
    },
    BadFile {
        name: "annotations in a recording rule",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: up
    annotations: {a: b}
",
        errors: &[r#"4:13: group "g", rule 1, "r": invalid field 'annotations' in recording rule"#],
    },
    BadFile {
        name: "expression as a name",
        text: r#"groups:
- name: g
  rules:
  - record: up{job="a"}
    expr: up
"#,
        errors: &[
            r#"4:13: group "g", rule 1, "up{job=\"a\"}": braces present in the recording rule name; should it be in expr?: up{job="a"}"#,
        ],
    },
    BadFile {
        name: "name as a label",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: up
    labels: {__name__: s}
",
        errors: &[r#"6:14: group "g", rule 1, "r": invalid label name: __name__"#],
    },
    BadFile {
        name: "empty label",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    labels:
      '': b
",
        errors: &[r#"7:7: group "g", rule 1, "a": invalid label name: "#],
    },
    BadFile {
        name: "empty annotation",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    annotations:
      '': b
",
        errors: &[r#"7:7: group "g", rule 1, "a": invalid annotation name: "#],
    },
    BadFile {
        name: "label twice",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    labels:
      team: a
      team: b
",
        errors: &[r#"8:7: group "g", rule 1, "a": mapping key "team" already defined at line 7"#],
    },
    BadFile {
        name: "half an expression",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up ==
",
        errors: &[
            r#"5:11: group "g", rule 1, "a": could not parse expression: 1:6: parse error: unexpected end of input"#,
        ],
    },
    BadFile {
        name: "unknown function",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: ratee(up[5m])
",
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 1:1: parse error: unknown function with name "ratee""#,
        ],
    },
    BadFile {
        name: "wrong type",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: rate(up)
",
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 1:6: parse error: expected type range vector in call to function "rate", got instant vector"#,
        ],
    },
    BadFile {
        name: "range without function brackets",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: 'sum(rate(up[5m])) by (job'
",
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 1:26: parse error: unclosed left parenthesis"#,
        ],
    },
    BadFile {
        name: "error in a block of lines",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: |
      sum by (job) (
        rate(up[5m]
      )
    labels: {a: b}
",
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 4:1: parse error: unclosed left parenthesis"#,
        ],
    },
    BadFile {
        name: "error in a folded block",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: >-
      sum(
        up
",
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 2:5: parse error: unclosed left parenthesis"#,
        ],
    },
    BadFile {
        name: "bad duration in an expression",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: rate(up[5x])
",
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 1:9: parse error: bad number or duration syntax: "5""#,
        ],
    },
    BadFile {
        name: "bad regular expression",
        text: r#"groups:
- name: g
  rules:
  - record: r
    expr: 'up{job=~"("}'
"#,
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 1:4: parse error: error parsing regexp: missing closing ): `(`"#,
        ],
    },
    BadFile {
        name: "set operator on numbers",
        text: "groups:
- name: g
  rules:
  - record: r
    expr: 1 and up
",
        errors: &[
            r#"5:11: group "g", rule 1, "r": could not parse expression: 1:1: parse error: set operator "and" not allowed in binary scalar expression"#,
        ],
    },
    BadFile {
        name: "second rule of the second group",
        text: "groups:
- name: g
  rules:
  - {record: r, expr: up}
- name: h
  rules:
  - {record: s, expr: up}
  - alert: Wrong
    expr: sum(
",
        errors: &[
            r#"9:11: group "h", rule 2, "Wrong": could not parse expression: 1:5: parse error: unclosed left parenthesis"#,
        ],
    },
    BadFile {
        name: "undefined variable in a label",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    labels:
      team: '{{ $team }}'
",
        errors: &[
            r#"7:13: group "g", rule 1, "a": label "team": template: __alert_a:1: undefined variable "$team""#,
        ],
    },
    BadFile {
        name: "unknown function in an annotation",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    annotations:
      summary: '{{ nosuch . }}'
",
        errors: &[
            r#"7:16: group "g", rule 1, "a": annotation "summary": template: __alert_a:1: function "nosuch" not defined"#,
        ],
    },
    BadFile {
        name: "if without condition",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    annotations: {a: ok, b: '{{ if }}x{{ end }}'}
",
        errors: &[
            r#"6:29: group "g", rule 1, "a": annotation "b": template: __alert_a:1: missing value for if"#,
        ],
    },
    BadFile {
        name: "open action",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    annotations:
      summary: 'on {{ $labels.job'
",
        errors: &[
            r#"7:16: group "g", rule 1, "a": annotation "summary": template: __alert_a:1: unclosed action"#,
        ],
    },
    BadFile {
        name: "if without end",
        text: "groups:
- name: g
  rules:
  - alert: a
    expr: up
    annotations:
      summary: |
        {{ if gt $value 1.0 }}
        much
",
        errors: &[
            r#"7:16: group "g", rule 1, "a": annotation "summary": template: __alert_a:3: unexpected EOF"#,
        ],
    },
    BadFile {
        name: "five mistakes in one file",
        text: "groups:
- name: g
  limt: 1
  rules:
  - record: r
    expr: up +
    for: 1m
- name: g
  rules:
  - expr: 1 +
",
        errors: &[
            "3:3: field limt not found in type rulefmt.RuleGroup",
            r#"6:11: group "g", rule 1, "r": could not parse expression: 1:5: parse error: unexpected end of input"#,
            r#"5:13: group "g", rule 1, "r": invalid field 'for' in recording rule"#,
            r#"8:3: groupname: "g" is repeated in the same file"#,
            r#"10:5: group "g", rule 1, "": one of 'record' or 'alert' must be set"#,
            r#"10:11: group "g", rule 1, "": could not parse expression: 1:4: parse error: unexpected end of input"#,
        ],
    },
];
