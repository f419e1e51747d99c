//! `/api/v1/labels`, `/api/v1/label/NAME/values`, `/api/v1/series`, `/api/v1/metadata`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;

use crate::model::{Fingerprint, Labels, Matcher, Metadata, TimeSpan};
use crate::promql::parse::parse_selector;
use crate::storage::{LabelsRequest, Need, SelectError, SelectRequest, SymbolTable};

use super::answer::{Annotations, ApiError, SUCCESS_HEAD, success_tail};
use super::app::App;
use super::json;
use super::params::{Params, TIME_MS_MAX, TIME_MS_MIN, parse_integer};

/// What the calls on labels and series take: which series, when, how many answers.
struct Selectors {
    matcher_sets: Vec<Vec<Matcher>>,
    span: TimeSpan,
    limit: usize,
}

impl Selectors {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let limit = params.limit()?;
        let start = params.time_or("start", TIME_MS_MIN)?;
        let end = params.time_or("end", TIME_MS_MAX)?;
        let matcher_sets = matcher_sets(params).map_err(ApiError::bad_data)?;
        Ok(Self { matcher_sets, span: TimeSpan::new(start, end), limit })
    }

    /// One more than the limit, so that it shows whether there were more; 0 for all.
    fn limit_and_one(&self) -> usize {
        if self.limit == 0 { 0 } else { self.limit.saturating_add(1) }
    }

    fn labels_request(&self) -> LabelsRequest<'_> {
        LabelsRequest { matcher_sets: &self.matcher_sets, span: self.span, limit: self.limit_and_one() }
    }

    /// Cuts a list to the limit and says so.
    fn cut<T>(&self, list: &mut Vec<T>) -> Annotations {
        let mut annotations = Annotations::default();
        if self.limit > 0 && list.len() > self.limit {
            list.truncate(self.limit);
            annotations.warn_truncated();
        }
        annotations
    }
}

/// The selectors in `match[]`; each must hold something that an empty value does not pass.
pub(super) fn matcher_sets(params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    let sets = params
        .all("match[]")
        .map(|text| parse_selector(text).map_err(|error| error.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
        return Err("match[] must contain at least one non-empty matcher".to_owned());
    }
    Ok(sets)
}

/// Names of labels.
pub(super) async fn label_names(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let selectors = Selectors::read(&app.params(request).await?)?;
    Ok(texts(&app, selectors, |app, selectors| {
        app.services.select.label_names(&app.tenant, &selectors.labels_request())
    })
    .await)
}

/// Values of one label.
pub(super) async fn label_values(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let name = if name.starts_with("U__") { unescape_name(&name) } else { name };
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let selectors = Selectors::read(&app.params(request).await?)?;
    Ok(texts(&app, selectors, move |app, selectors| {
        app.services.select.label_values(&app.tenant, &name, &selectors.labels_request())
    })
    .await)
}

async fn texts(
    app: &Arc<App>,
    selectors: Selectors,
    find: impl FnOnce(&App, &Selectors) -> Result<Vec<String>, SelectError> + Send + 'static,
) -> Response<Body> {
    app.read(
        move |app| {
            let mut texts = find(app, &selectors)?;
            let annotations = selectors.cut(&mut texts);
            Ok((texts, annotations))
        },
        |(texts, annotations), writer| {
            writer.buffer().extend_from_slice(SUCCESS_HEAD);
            writer.list(&texts, |out, text| json::html_safe_string(out, text))?;
            success_tail(writer.buffer(), &annotations);
            Ok(())
        },
    )
    .await
}

/// A name in which what is not a letter, digit or underscore was written as `_HEX_`, and `_` as `__`. A name that
/// breaks the rules is answered as it is.
fn unescape_name(escaped: &str) -> String {
    let Some(mut rest) = escaped.strip_prefix("U__") else { return escaped.to_owned() };
    let mut name = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            name.push('_');
            rest = after;
            continue;
        }
        let unescaped = rest.split_once('_').and_then(|(digits, after)| {
            let is_hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let c = is_hex.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32))??;
            Some((c, after))
        });
        let Some((c, after)) = unescaped else { return escaped.to_owned() };
        name.push(c);
        rest = after;
    }
    name.push_str(rest);
    name
}

/// Label sets of series.
pub(super) async fn series(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    params.check()?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let selectors = read_series_selectors(&params)?;
    let found = move |app: &App| {
        let mut series = find_series(app, &selectors)?;
        let annotations = selectors.cut(&mut series);
        Ok((series, annotations))
    };
    Ok(app
        .read(found, |(series, annotations), writer| {
            writer.buffer().extend_from_slice(SUCCESS_HEAD);
            writer.list(&series, json::labels)?;
            success_tail(writer.buffer(), &annotations);
            Ok(())
        })
        .await)
}

/// This call alone names the parameter in the error of a selector.
fn read_series_selectors(params: &Params) -> Result<Selectors, ApiError> {
    let limit = params.limit()?;
    let start = params.time_or("start", TIME_MS_MIN)?;
    let end = params.time_or("end", TIME_MS_MAX)?;
    let matcher_sets = matcher_sets(params).map_err(|error| ApiError::parameter("match[]", error))?;
    Ok(Selectors { matcher_sets, span: TimeSpan::new(start, end), limit })
}

/// Label sets that pass one of the sets of matchers, each once, in label order.
fn find_series(app: &App, selectors: &Selectors) -> Result<Vec<Labels>, SelectError> {
    let mut found: BTreeMap<Fingerprint, Labels> = BTreeMap::new();
    for matchers in &selectors.matcher_sets {
        let request = SelectRequest {
            need: Need::Series,
            limit: selectors.limit_and_one(),
            ..SelectRequest::samples(matchers, selectors.span)
        };
        let mut symbols = SymbolTable::default();
        let selection = app.services.select.select(&app.tenant, &request, &mut symbols)?;
        for row in 0..selection.len() {
            let has_samples = || -> Result<bool, SelectError> {
                let pieces = selection.pieces(row)?;
                Ok(pieces.iter().any(|piece| piece.count > 0 && piece.span.overlaps(selectors.span)))
            };
            if !found.contains_key(&selection.fingerprint(row)) && has_samples()? {
                found.insert(selection.fingerprint(row), selection.labels(row, &symbols));
            }
        }
    }
    let mut series: Vec<Labels> = found.into_values().collect();
    series.sort_unstable();
    Ok(series)
}

#[derive(serde::Serialize)]
struct MetadataJson<'a> {
    r#type: &'static str,
    unit: &'a str,
    help: &'a str,
}

/// What metrics say of themselves.
pub(super) async fn metadata(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    let limit = count_param(&params, "limit")?;
    let limit_per_metric = count_param(&params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let metric = params.get("metric").to_owned();
    Ok(app
        .read(
            move |app| {
                let mut families = app.services.select.metadata(&app.tenant, &metric)?;
                families.truncate(limit.unwrap_or(usize::MAX));
                for (_, entries) in &mut families {
                    entries.truncate(limit_per_metric.unwrap_or(usize::MAX));
                }
                Ok(families)
            },
            |families, writer| {
                let shown: BTreeMap<&str, Vec<MetadataJson<'_>>> =
                    families.iter().map(|(name, entries)| (name.as_str(), shown(entries))).collect();
                let out = writer.buffer();
                out.extend_from_slice(SUCCESS_HEAD);
                out.extend_from_slice(&json::html_safe_value(&shown));
                success_tail(out, &Annotations::default());
                Ok(())
            },
        )
        .await)
}

fn shown(entries: &[Metadata]) -> Vec<MetadataJson<'_>> {
    entries
        .iter()
        .map(|Metadata { metric_type, help, unit }| MetadataJson { r#type: metric_type.as_str(), unit, help })
        .collect()
}

/// A count that may be left out; a negative one is none.
fn count_param(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => parse_integer(text)
            .map(|count| usize::try_from(count).ok())
            .map_err(|_| ApiError::bad_data(format!("{name} must be a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (escaped, name) in [
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U___1f600_", "\u{1f600}"),
            ("U__plain", "plain"),
            ("U__broken_zz_", "U__broken_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("U__surrogate_d800_", "U__surrogate_d800_"),
        ] {
            assert_eq!(unescape_name(escaped), name);
        }
    }

    #[test]
    fn selectors_that_match_everything_are_refused() {
        let sets = |query: &str| matcher_sets(&Params::parse(b"", query));
        assert_eq!(sets("match[]=up&match[]={a%3D%22b%22}").map(|sets| sets.len()), Ok(2));
        assert_eq!(
            sets("match[]={a%3D~%22.*%22}"),
            Err("match[] must contain at least one non-empty matcher".to_owned())
        );
        assert!(sets("match[]={a%3D%22}").is_err_and(|error| error.contains("parse error")));
    }
}
