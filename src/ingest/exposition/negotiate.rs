//! Which format is asked for, and which one came.

use std::fmt;

/// Grammar of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text, 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics text, 0.0.1 and 1.0.0.
    OpenMetrics,
}

/// A format with its version, as `scrape_protocols` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    /// Length-delimited protobuf. Known by name, never asked for: perdura does not read it yet.
    PrometheusProto,
    /// `text/plain` 0.0.4
    PrometheusText0_0_4,
    /// `text/plain` 1.0.0
    PrometheusText1_0_0,
    /// `application/openmetrics-text` 0.0.1
    OpenMetricsText0_0_1,
    /// `application/openmetrics-text` 1.0.0
    OpenMetricsText1_0_0,
}

impl ScrapeProtocol {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PrometheusProto,
        Self::PrometheusText0_0_4,
        Self::PrometheusText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::OpenMetricsText1_0_0,
    ];

    /// What is asked for where the configuration says nothing, best first.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// The protocol of that name in `scrape_protocols`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Its name in `scrape_protocols`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }

    /// Its media type with parameters, without escaping and weight.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }

    /// The grammar it is read with; `None` for protobuf.
    pub const fn format(self) -> Option<Format> {
        match self {
            Self::PrometheusProto => None,
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => Some(Format::Text),
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => Some(Format::OpenMetrics),
        }
    }

    const fn takes_escaping(self) -> bool {
        matches!(self, Self::PrometheusText1_0_0 | Self::OpenMetricsText1_0_0)
    }
}

impl fmt::Display for ScrapeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a target is asked to write names that the old grammar cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EscapingScheme {
    /// As they are, quoted.
    #[default]
    AllowUtf8,
    /// With underscores.
    Underscores,
    /// With dots spelled out.
    Dots,
    /// With code points spelled out, prefixed `U__`.
    Values,
}

impl EscapingScheme {
    /// Its name in `metric_name_escaping_scheme` and in the `escaping` parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The scheme of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values]
            .into_iter()
            .find(|scheme| scheme.as_str() == name)
    }
}

/// The `Accept` header for these protocols, best first, byte for byte as Prometheus sends it.
/// Protobuf is left out, but keeps its place in the weights.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: EscapingScheme) -> String {
    let mut header = String::new();
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    for protocol in protocols {
        if protocol.format().is_some() {
            header.push_str(protocol.media_type());
            if protocol.takes_escaping() {
                header.push_str(";escaping=");
                header.push_str(escaping.as_str());
            }
            header.push_str(&format!(";q=0.{weight},"));
        }
        weight = weight.saturating_sub(1);
    }
    header.push_str(&format!("*/*;q=0.{weight}"));
    header
}

/// A body that nobody said how to read; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiateError {
    /// No `Content-Type`.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
    )]
    Blank,
    /// A `Content-Type` that is not one.
    #[error("cannot parse Content-Type {0:?} and no fallback_scrape_protocol for target")]
    Malformed(String),
    /// A media type that is not an exposition format.
    #[error("received unsupported Content-Type {0:?} and no fallback_scrape_protocol specified for target")]
    Unsupported(String),
    /// Protobuf, which was not asked for.
    #[error("received Content-Type {0:?}, which this server does not read yet")]
    Protobuf(String),
}

impl Format {
    /// The format of a response. `fallback` counts where the header is blank, malformed or unknown; then the
    /// second value says so, for the log.
    pub fn of_response(
        content_type: Option<&str>,
        fallback: Option<ScrapeProtocol>,
    ) -> Result<(Self, Option<String>), NegotiateError> {
        let content_type = content_type.unwrap_or("").trim();
        let (error, warning) = if content_type.is_empty() {
            (NegotiateError::Blank, "non-compliant scrape target sending blank Content-Type".to_owned())
        } else {
            match media_type(content_type).as_deref() {
                Some("application/openmetrics-text") => return Ok((Self::OpenMetrics, None)),
                Some("text/plain") => return Ok((Self::Text, None)),
                Some("application/vnd.google.protobuf") => {
                    return Err(NegotiateError::Protobuf(content_type.to_owned()));
                }
                Some(_) => (
                    NegotiateError::Unsupported(content_type.to_owned()),
                    format!("received unsupported Content-Type {content_type:?}"),
                ),
                None => (
                    NegotiateError::Malformed(content_type.to_owned()),
                    format!("could not parse received Content-Type {content_type:?}"),
                ),
            }
        };
        let Some(protocol) = fallback else { return Err(error) };
        let Some(format) = protocol.format() else {
            return Err(NegotiateError::Protobuf(protocol.media_type().to_owned()));
        };
        Ok((format, Some(format!("{warning}, using fallback_scrape_protocol {:?}", protocol.name()))))
    }
}

/// The media type in lower case; `None` where the header or one of its parameters is malformed.
fn media_type(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';');
    let media = parts.next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = media.split_once('/').unwrap_or((&media, "x"));
    let sound = is_token(kind)
        && is_token(subtype)
        && parts
            .map(str::trim)
            .filter(|parameter| !parameter.is_empty())
            .all(|parameter| parameter.split_once('=').is_some_and(|(name, _)| is_token(name.trim())));
    sound.then_some(media)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_accept_header_is_upstreams() {
        assert_eq!(
            accept_header(&ScrapeProtocol::DEFAULT, EscapingScheme::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        let with_protobuf = [ScrapeProtocol::PrometheusProto, ScrapeProtocol::PrometheusText1_0_0];
        assert_eq!(
            accept_header(&with_protobuf, EscapingScheme::Underscores),
            "text/plain;version=1.0.0;escaping=underscores;q=0.5,*/*;q=0.4"
        );
    }

    #[test]
    fn names_go_both_ways() {
        for protocol in ScrapeProtocol::ALL {
            assert_eq!(ScrapeProtocol::from_name(protocol.name()), Some(protocol));
        }
        assert_eq!(EscapingScheme::from_name("dots"), Some(EscapingScheme::Dots));
        assert_eq!(EscapingScheme::from_name("dot"), None);
    }

    #[test]
    fn content_type_decides_and_fallback_helps() {
        let read = |header| Format::of_response(header, None);
        assert_eq!(read(Some("text/plain; version=0.0.4; charset=utf-8")), Ok((Format::Text, None)));
        assert_eq!(read(Some("Application/OpenMetrics-Text;version=1.0.0")), Ok((Format::OpenMetrics, None)));
        assert_eq!(read(None), Err(NegotiateError::Blank));
        assert!(matches!(read(Some("text/html")), Err(NegotiateError::Unsupported(_))));
        assert!(matches!(read(Some("text/plain;=")), Err(NegotiateError::Malformed(_))));
        assert!(matches!(read(Some("application/vnd.google.protobuf")), Err(NegotiateError::Protobuf(_))));
        let fallback = Some(ScrapeProtocol::PrometheusText0_0_4);
        for bad in [None, Some("text/html"), Some("text/plain;=")] {
            let (format, warning) = Format::of_response(bad, fallback).expect("the fallback counts");
            assert_eq!(format, Format::Text);
            assert!(warning.is_some_and(|text| text.contains("PrometheusText0.0.4")), "{bad:?}");
        }
        // What the target says counts more than the fallback.
        assert_eq!(
            Format::of_response(Some("application/openmetrics-text"), fallback),
            Ok((Format::OpenMetrics, None))
        );
    }
}
