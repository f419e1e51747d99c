//! The exporter's page: `/metrics` with the text of the last round, and `/health`.

use std::sync::{Arc, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;

use crate::clock::Clock;
use crate::lock::{read, write};
use crate::model::Timestamp;

use super::answer::text_response;

/// What is served: a text that someone else makes, and how long it is good for.
pub struct Exposed {
    clock: Clock,
    age_ms_max: i64,
    last: RwLock<(Timestamp, Arc<str>)>,
}

impl Exposed {
    /// Nothing yet. `age_ms_max`: a text that is older is not served, since its values are not those of now.
    pub fn new(clock: Clock, age_ms_max: i64) -> Self {
        Self { clock, age_ms_max, last: RwLock::new((Timestamp::MIN, Arc::from(""))) }
    }

    /// Replaces the text. `time`: when its values were read.
    pub fn set(&self, time: Timestamp, text: String) {
        *write(&self.last) = (time, Arc::from(text));
    }

    /// The text, while it is good.
    fn text(&self) -> Option<Arc<str>> {
        let (time, text) = &*read(&self.last);
        let age_ms = self.clock.now_ms().saturating_sub(*time);
        (age_ms <= self.age_ms_max).then(|| Arc::clone(text))
    }
}

/// The paths of an exporter.
pub fn exporter(exposed: Arc<Exposed>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(exposed)
}

async fn home() -> Response<Body> {
    text_response(StatusCode::OK, "GPU exporter: /metrics and /health\n")
}

async fn metrics(State(exposed): State<Arc<Exposed>>) -> Response<Body> {
    let Some(text) = exposed.text() else {
        return text_response(StatusCode::SERVICE_UNAVAILABLE, "no reading is recent enough\n");
    };
    let mut response = Response::new(Body::from(text.to_string()));
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, format);
    response
}

/// Healthy means that rounds are read, also where there is no GPU.
async fn health(State(exposed): State<Arc<Exposed>>) -> Response<Body> {
    match exposed.text() {
        Some(_) => text_response(StatusCode::OK, "OK\n"),
        None => text_response(StatusCode::SERVICE_UNAVAILABLE, "no reading is recent enough\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimulatedClock;

    #[test]
    fn a_text_is_served_while_it_is_of_now() {
        let hands = SimulatedClock::at_ms(1_000);
        let exposed = Exposed::new(Clock::Simulated(hands.clone()), 500);
        assert!(exposed.text().is_none());
        exposed.set(1_000, "a 1\n".to_owned());
        hands.advance_ms(500);
        assert_eq!(exposed.text().as_deref(), Some("a 1\n"));
        hands.advance_ms(1);
        assert!(exposed.text().is_none());
    }
}
