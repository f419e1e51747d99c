//! Addresses: links into the server, hosts and ports, and escaping.

use std::net::IpAddr;

use super::strings::joined;
use super::{Context, chars, text};
use crate::encoding::percent_decoded;
use crate::template::value::Value;

pub(super) fn external_url(context: &mut Context<'_>, _: &[Value]) -> Result<Value, String> {
    context.text(context.data.external_url)
}

/// The path of the external URL, without escapes.
pub(super) fn path_prefix(context: &mut Context<'_>, _: &[Value]) -> Result<Value, String> {
    let url = context.data.external_url;
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = behind_scheme.find('/').map_or("", |at| &behind_scheme[at..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    context.text(percent_decoded(path.as_bytes()))
}

pub(super) fn graph_link(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    context.text(format!("/graph?g0.expr={}&g0.tab=0", escaped(text(&args[0]))))
}

pub(super) fn table_link(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    context.text(format!("/graph?g0.expr={}&g0.tab=1", escaped(text(&args[0]))))
}

pub(super) fn query_escape(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    context.text(escaped(text(&args[0])))
}

pub(super) fn url_query(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = joined(context, args)?;
    context.text(escaped(&text))
}

/// For the query of a URL.
fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.push('+'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `host:port` or `[host]:port` as its two parts; `None` where it is neither.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (head, port) = text.rsplit_once(':')?;
    let host = match head.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if head.contains(':') => return None,
        None => head,
    };
    (!host.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

pub(super) fn strip_port(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = chars(&args[0]);
    context.text(split_host_port(&text).map_or(text.as_ref(), |(host, _)| host))
}

pub(super) fn strip_domain(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = chars(&args[0]);
    let (host, port) = split_host_port(&text).unwrap_or((&text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return Ok(args[0].clone());
    }
    let name = host.split('.').next().unwrap_or_default();
    if port.is_empty() {
        return context.text(name);
    }
    // A host with colons is put into brackets again.
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    context.text(format!("{name}:{port}"))
}
