//! `/api/v1/rules`, `/api/v1/alerts`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use crate::model::{Matcher, format_float_e};
use crate::promql::SampleValue;
use crate::rules::{ActiveAlert, GroupStatus, RuleKind, RuleStatus};

use super::answer::{Annotations, ApiError, SUCCESS_HEAD, success_tail};
use super::app::App;
use super::json;
use super::params::{Params, parse_integer_32};
use super::series::matcher_sets;
use super::status::{rfc3339, rfc3339_or_never};

/// Groups of rules that pass the filters, in pages where the client asks for them.
pub(super) async fn rules(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, ApiError> {
    let wanted = Wanted::read(&app.params(request).await?)?;
    let with_alerts = !wanted.exclude_alerts;
    Ok(app
        .read(
            move |app| wanted.page(groups(app)),
            move |page, writer| {
                writer.buffer().extend_from_slice(SUCCESS_HEAD);
                writer.buffer().extend_from_slice(b"{\"groups\":");
                writer.list(&page.groups, |out, shown| group(out, shown, with_alerts))?;
                if let Some(token) = &page.next_token {
                    json::text_member(writer.buffer(), "groupNextToken", token);
                }
                writer.buffer().push(b'}');
                success_tail(writer.buffer(), &Annotations::default());
                Ok(())
            },
        )
        .await)
}

/// Alerts that fire or are about to.
pub(super) async fn alerts(State(app): State<Arc<App>>) -> Response<Body> {
    app.read(
        |app| Ok(active_alerts(groups(app))),
        |alerts, writer| {
            writer.buffer().extend_from_slice(SUCCESS_HEAD);
            writer.buffer().extend_from_slice(b"{\"alerts\":");
            writer.list(&alerts, alert)?;
            writer.buffer().push(b'}');
            success_tail(writer.buffer(), &Annotations::default());
            Ok(())
        },
    )
    .await
}

fn groups(app: &App) -> Vec<GroupStatus> {
    app.services.rules.as_ref().map(|manager| manager.groups()).unwrap_or_default()
}

/// What a client wants to see; empty sets let everything pass.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    rule_names: HashSet<String>,
    group_names: HashSet<String>,
    files: HashSet<String>,
    matcher_sets: Vec<Vec<Matcher>>,
    kind: Option<Kind>,
    exclude_alerts: bool,
    paging: Option<Paging>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Alerting,
    Recording,
}

#[derive(Debug, PartialEq, Eq)]
struct Paging {
    /// Most groups of the page.
    limit: usize,
    /// The token of its first group; empty for the first page.
    token: String,
}

/// Groups to be shown, with the token of the group that comes next, if there is one.
#[derive(Debug, PartialEq)]
struct Page {
    groups: Vec<GroupStatus>,
    next_token: Option<String>,
}

impl Wanted {
    fn read(params: &Params) -> Result<Self, ApiError> {
        params.check()?;
        let set = |name| params.all(name).map(str::to_owned).collect();
        Ok(Self {
            rule_names: set("rule_name[]"),
            group_names: set("rule_group[]"),
            files: set("file[]"),
            matcher_sets: matcher_sets(params).map_err(ApiError::bad_data)?,
            kind: read_kind(params.get_from_url("type"))?,
            exclude_alerts: read_flag("exclude_alerts", params.get_from_url("exclude_alerts"))?,
            paging: Paging::read(
                params.get_from_url("group_limit"),
                params.get_from_url("group_next_token"),
            )?,
        })
    }

    /// A group's token counts from the first that the page shows, whether or not that one passes the filters.
    fn page(&self, groups: Vec<GroupStatus>) -> Result<Page, ApiError> {
        let token = self.paging.as_ref().map_or("", |paging| paging.token.as_str());
        let start = match token {
            "" => 0,
            _ => groups
                .iter()
                .position(|group| group_token(group) == token)
                .ok_or_else(|| unknown_token(token))?,
        };
        let limit = self.paging.as_ref().map_or(usize::MAX, |paging| paging.limit);
        let mut page = Page { groups: Vec::new(), next_token: None };
        for group in groups.into_iter().skip(start).filter_map(|group| self.filtered(group)) {
            if page.groups.len() == limit {
                page.next_token = Some(group_token(&group));
                break;
            }
            page.groups.push(group);
        }
        Ok(page)
    }

    /// The group with its rules that pass; `None` where none does.
    fn filtered(&self, mut group: GroupStatus) -> Option<GroupStatus> {
        if !passes(&self.group_names, &group.name) || !passes(&self.files, &group.file) {
            return None;
        }
        group.rules.retain(|rule| self.takes(rule));
        (!group.rules.is_empty()).then_some(group)
    }

    fn takes(&self, rule: &RuleStatus) -> bool {
        let kind = match rule.kind {
            RuleKind::Recording => Kind::Recording,
            RuleKind::Alerting { .. } => Kind::Alerting,
        };
        self.kind.is_none_or(|wanted| wanted == kind)
            && passes(&self.rule_names, &rule.name)
            && (self.matcher_sets.is_empty()
                || self.matcher_sets.iter().any(|set| matches_all(set, &rule.labels)))
    }
}

impl Paging {
    fn read(limit: &str, token: &str) -> Result<Option<Self>, ApiError> {
        if limit.is_empty() {
            let why = "group_limit needs to be present in order to paginate over the groups";
            return match token {
                "" => Ok(None),
                _ => Err(ApiError::parameter("group_next_token", why)),
            };
        }
        let refused = |why: String| ApiError::parameter("group_limit", why);
        let limit = parse_integer_32(limit)
            .map_err(|why| refused(format!("group_limit needs to be a valid number: {why}")))?;
        match usize::try_from(limit) {
            Ok(limit) if limit > 0 => Ok(Some(Self { limit, token: token.to_owned() })),
            _ => Err(refused("group_limit needs to be greater than 0".to_owned())),
        }
    }
}

fn read_kind(text: &str) -> Result<Option<Kind>, ApiError> {
    match text.to_lowercase().as_str() {
        "" => Ok(None),
        "alert" => Ok(Some(Kind::Alerting)),
        "record" => Ok(Some(Kind::Recording)),
        other => Err(ApiError::parameter("type", format!("not supported value {other:?}"))),
    }
}

fn read_flag(name: &str, text: &str) -> Result<bool, ApiError> {
    match text.to_lowercase().as_str() {
        "" | "0" | "f" | "false" => Ok(false),
        "1" | "t" | "true" => Ok(true),
        other => {
            let why = format!("strconv.ParseBool: parsing {other:?}: invalid syntax");
            Err(ApiError::parameter(name, format!("error converting {name}: {why}")))
        }
    }
}

fn passes(set: &HashSet<String>, value: &str) -> bool {
    set.is_empty() || set.contains(value)
}

fn matches_all(set: &[Matcher], labels: &BTreeMap<String, String>) -> bool {
    set.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).map_or("", String::as_str)))
}

/// What leads to a group of the next page: SHA-256 of its file and its name.
fn group_token(group: &GroupStatus) -> String {
    let place = format!("{};{}", group.file, group.name);
    let digest = ring::digest::digest(&ring::digest::SHA256, place.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unknown_token(token: &str) -> ApiError {
    let why = format!("invalid group_next_token '{token}'. were rule groups changed?");
    ApiError::parameter("group_next_token", why)
}

fn active_alerts(groups: Vec<GroupStatus>) -> Vec<ActiveAlert> {
    let rules = groups.into_iter().flat_map(|group| group.rules);
    let alerts = rules.filter_map(|rule| match rule.kind {
        RuleKind::Alerting { alerts, .. } => Some(alerts),
        RuleKind::Recording => None,
    });
    alerts.flatten().collect()
}

fn group(out: &mut Vec<u8>, shown: &GroupStatus, with_alerts: bool) {
    out.extend_from_slice(b"{\"name\":");
    json::html_safe_string(out, &shown.name);
    json::text_member(out, "file", &shown.file);
    json::member(out, "rules", |out| {
        json::list(out, &shown.rules, |out, rule| self::rule(out, rule, with_alerts));
    });
    json::member(out, "interval", |out| seconds(out, shown.interval_ms));
    json::member(out, "limit", |out| out.extend_from_slice(shown.limit.to_string().as_bytes()));
    json::member(out, "evaluationTime", |out| json::number(out, shown.evaluation_seconds));
    json::text_member(out, "lastEvaluation", &rfc3339_or_never(shown.last_evaluation));
    out.push(b'}');
}

fn rule(out: &mut Vec<u8>, rule: &RuleStatus, with_alerts: bool) {
    match &rule.kind {
        RuleKind::Recording => {
            out.extend_from_slice(b"{\"name\":");
            json::html_safe_string(out, &rule.name);
            json::text_member(out, "query", &rule.query);
            json::member(out, "labels", |out| json::texts(out, pairs(&rule.labels)));
            how_it_went(out, rule, "recording");
        }
        RuleKind::Alerting { state, hold_ms, keep_firing_for_ms, annotations, alerts } => {
            out.extend_from_slice(b"{\"state\":");
            json::html_safe_string(out, state.as_str());
            json::text_member(out, "name", &rule.name);
            json::text_member(out, "query", &rule.query);
            json::member(out, "duration", |out| seconds(out, *hold_ms));
            json::member(out, "keepFiringFor", |out| seconds(out, *keep_firing_for_ms));
            json::member(out, "labels", |out| json::texts(out, pairs(&rule.labels)));
            json::member(out, "annotations", |out| json::texts(out, pairs(annotations)));
            json::member(out, "alerts", |out| match with_alerts {
                true => json::list(out, alerts, alert),
                false => out.extend_from_slice(b"null"),
            });
            how_it_went(out, rule, "alerting");
        }
    }
    out.push(b'}');
}

/// The members that both kinds end with.
fn how_it_went(out: &mut Vec<u8>, rule: &RuleStatus, kind: &str) {
    json::text_member(out, "health", rule.health.as_str());
    if !rule.last_error.is_empty() {
        json::text_member(out, "lastError", &rule.last_error);
    }
    json::member(out, "evaluationTime", |out| json::number(out, rule.evaluation_seconds));
    json::text_member(out, "lastEvaluation", &rfc3339_or_never(rule.last_evaluation));
    json::text_member(out, "type", kind);
}

fn alert(out: &mut Vec<u8>, alert: &ActiveAlert) {
    out.extend_from_slice(b"{\"labels\":");
    json::labels(out, &alert.labels);
    json::member(out, "annotations", |out| json::texts(out, pairs(&alert.annotations)));
    json::text_member(out, "state", alert.state.as_str());
    json::text_member(out, "activeAt", &rfc3339(alert.active_at));
    if let Some(since) = alert.keep_firing_since {
        json::text_member(out, "keepFiringSince", &rfc3339(since));
    }
    json::text_member(out, "value", &format_float_e(plain_value(&alert.value)));
    out.push(b'}');
}

/// Histograms have no value here: upstream shows them as 0.
fn plain_value(value: &SampleValue) -> f64 {
    match value {
        SampleValue::Float(value) => *value,
        SampleValue::Histogram(_) => 0.0,
    }
}

/// Milliseconds as seconds: whole ones and the fraction are divided apart, as upstream does it.
fn seconds(out: &mut Vec<u8>, ms: i64) {
    json::number(out, (ms / 1_000) as f64 + (ms % 1_000) as f64 / 1_000.0);
}

fn pairs(texts: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::rules::{AlertState, RuleHealth};

    fn recording(name: &str, team: &str) -> RuleStatus {
        RuleStatus {
            name: name.to_owned(),
            query: "sum(up) > 1".to_owned(),
            labels: [("team".to_owned(), team.to_owned())].into(),
            health: RuleHealth::Unknown,
            last_error: String::new(),
            evaluation_seconds: 0.0,
            last_evaluation: None,
            kind: RuleKind::Recording,
        }
    }

    fn alerting(name: &str, alerts: Vec<ActiveAlert>) -> RuleStatus {
        let state = alerts.iter().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive);
        RuleStatus {
            health: RuleHealth::Bad,
            last_error: "a < b".to_owned(),
            evaluation_seconds: 0.000_25,
            last_evaluation: Some(1_435_781_451_780),
            kind: RuleKind::Alerting {
                state,
                hold_ms: 1_500,
                keep_firing_for_ms: 60_000,
                annotations: [("summary".to_owned(), "{{ $value }}".to_owned())].into(),
                alerts,
            },
            ..recording(name, "ml")
        }
    }

    fn active(state: AlertState, keep_firing_since: Option<i64>, value: f64) -> ActiveAlert {
        ActiveAlert {
            labels: Labels::from_pairs([("alertname", "Slow"), ("pod", "<a>")]),
            annotations: [("summary".to_owned(), "2".to_owned())].into(),
            state,
            active_at: 1_435_781_451_000,
            keep_firing_since,
            value: SampleValue::Float(value),
        }
    }

    fn group_of(file: &str, name: &str, rules: Vec<RuleStatus>) -> GroupStatus {
        GroupStatus {
            name: name.to_owned(),
            file: file.to_owned(),
            interval_ms: 15_000,
            rules,
            ..GroupStatus::default()
        }
    }

    /// Three groups: two of a file, and one more.
    fn three() -> Vec<GroupStatus> {
        vec![
            group_of("a.yml", "one", vec![recording("r1", "ml"), alerting("Slow", Vec::new())]),
            group_of("a.yml", "two", vec![recording("r2", "web")]),
            group_of("b.yml", "one", vec![alerting("Down", Vec::new())]),
        ]
    }

    fn page(query: &str) -> Result<Page, String> {
        Wanted::read(&Params::parse(b"", query))
            .and_then(|wanted| wanted.page(three()))
            .map_err(|error| error.message)
    }

    fn shown(query: &str) -> Vec<String> {
        let page = page(query).expect("the parameters are right");
        let line = |group: &GroupStatus| {
            let rules: Vec<&str> = group.rules.iter().map(|rule| rule.name.as_str()).collect();
            format!("{};{}: {}", group.file, group.name, rules.join(" "))
        };
        page.groups.iter().map(line).collect()
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn filters_leave_out_rules_and_then_empty_groups() {
        let all = ["a.yml;one: r1 Slow", "a.yml;two: r2", "b.yml;one: Down"];
        for (query, lines) in [
            ("", &all[..]),
            ("type=alert", &["a.yml;one: Slow", "b.yml;one: Down"][..]),
            ("type=RECORD", &["a.yml;one: r1", "a.yml;two: r2"][..]),
            ("rule_name[]=r2&rule_name[]=Down", &all[1..]),
            ("rule_group[]=one", &["a.yml;one: r1 Slow", "b.yml;one: Down"][..]),
            ("rule_group[]=one&file[]=b.yml", &all[2..]),
            ("file[]=b.yml&type=record", &[][..]),
            ("match[]={team=\"web\"}", &all[1..2]),
            ("match[]={team=\"web\"}&match[]={team=~\"m.\"}", &all[..]),
            ("match[]={team=~\".%2B\",team!=\"ml\"}", &all[1..2]),
        ] {
            assert_eq!(shown(query), lines, "{query}");
        }
    }

    #[test]
    fn pages_follow_each_other_by_token() {
        let first = page("group_limit=1").expect("the parameters are right");
        let token = first.next_token.expect("there are more");
        // SHA-256 of "a.yml;two".
        assert_eq!(token, TOKEN_OF_A_TWO);
        let query = format!("group_limit=1&group_next_token={token}");
        assert_eq!(shown(&query), ["a.yml;two: r2"]);
        let rest = page(&format!("group_limit=2&group_next_token={token}")).expect("the token is known");
        assert_eq!((rest.groups.len(), rest.next_token), (2, None));
        // The group of a token need not pass; those behind it count.
        let filtered = format!("group_limit=1&type=alert&group_next_token={token}");
        assert_eq!(shown(&filtered), ["b.yml;one: Down"]);
        assert_eq!(page("group_limit=2&type=alert").map(|page| page.next_token), Ok(None));
    }

    const TOKEN_OF_A_TWO: &str = "469a21c4e4b8fe431e661454af41939da192cf9453d69b7c4281b6d928bc19bb";

    #[test]
    fn wrong_parameters_are_refused_in_upstreams_words() {
        for (query, message) in [
            ("type=both", "invalid parameter \"type\": not supported value \"both\""),
            (
                "group_next_token=x",
                "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups",
            ),
            ("group_limit=-1", "invalid parameter \"group_limit\": group_limit needs to be greater than 0"),
            (
                "group_limit=x",
                "invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "group_limit=3000000000",
                "invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"3000000000\": value out of range",
            ),
            (
                "exclude_alerts=x",
                "invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            (
                "group_limit=1&group_next_token=x",
                "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?",
            ),
            ("match[]={a=~\".*\"}", "match[] must contain at least one non-empty matcher"),
        ] {
            assert_eq!(page(query), Err(message.to_owned()), "{query}");
        }
        // Form values of a body do not count for these.
        let wanted = Wanted::read(&Params::parse(b"type=both&group_limit=x", "type=alert"));
        assert_eq!(wanted.map(|wanted| (wanted.kind, wanted.paging)), Ok((Some(Kind::Alerting), None)));
    }

    #[test]
    fn groups_are_written_member_by_member_as_upstream_writes_them() {
        let alerts = vec![
            active(AlertState::Pending, None, 1.0),
            active(AlertState::Firing, Some(1_435_781_451_781), 1e-7),
        ];
        let mut with = group_of("a.yml", "one", vec![recording("r1", "ml"), alerting("Slow", alerts)]);
        with.limit = 3;
        with.evaluation_seconds = 1e-7;
        with.last_evaluation = Some(1_435_781_451_000);
        let recorded = r#"{"name":"r1","query":"sum(up) \u003e 1","labels":{"team":"ml"},"health":"unknown","evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","type":"recording"}"#;
        let alert_head = r#"{"state":"firing","name":"Slow","query":"sum(up) \u003e 1","duration":1.5,"keepFiringFor":60,"labels":{"team":"ml"},"annotations":{"summary":"{{ $value }}"},"alerts":"#;
        let pending = r#"{"labels":{"alertname":"Slow","pod":"<a>"},"annotations":{"summary":"2"},"state":"pending","activeAt":"2015-07-01T20:10:51Z","value":"1e+00"}"#;
        let firing = r#"{"labels":{"alertname":"Slow","pod":"<a>"},"annotations":{"summary":"2"},"state":"firing","activeAt":"2015-07-01T20:10:51Z","keepFiringSince":"2015-07-01T20:10:51.781Z","value":"1e-07"}"#;
        let alert_tail = r#","health":"err","lastError":"a \u003c b","evaluationTime":0.00025,"lastEvaluation":"2015-07-01T20:10:51.78Z","type":"alerting"}"#;
        let tail =
            r#","interval":15,"limit":3,"evaluationTime":1e-07,"lastEvaluation":"2015-07-01T20:10:51Z"}"#;
        let expected = |alerts: &str| {
            format!(
                r#"{{"name":"one","file":"a.yml","rules":[{recorded},{alert_head}{alerts}{alert_tail}]{tail}"#
            )
        };
        assert_eq!(written(|out| group(out, &with, true)), expected(&format!("[{pending},{firing}]")));
        assert_eq!(written(|out| group(out, &with, false)), expected("null"));
        let all = active_alerts(vec![with]);
        assert_eq!(written(|out| json::list(out, &all, alert)), format!("[{pending},{firing}]"));
        assert_eq!(written(|out| json::list(out, &active_alerts(three()), alert)), "[]");
    }
}
