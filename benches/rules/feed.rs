//! Samples by remote write, as their times come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use super::fleet::{Fleet, INTERVAL_MS, Series};
use super::http::Connection;
use super::request::push_series;
use super::wire::{self, Protocol};

/// Most samples of a request, as a Prometheus sends them.
const REQUEST_SAMPLES_MAX: usize = 2_000;

/// Sends the samples of each cluster at its own moment of the interval.
pub(crate) struct Feed<'a> {
    clusters: Vec<Vec<(Vec<u8>, &'a Series)>>,
    /// Time of step 0; a multiple of the interval.
    pub(crate) start: i64,
    port: u16,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(now.as_millis()).expect("milliseconds fit")
}

impl<'a> Feed<'a> {
    /// Of all series, from step 0 at `start` on.
    pub(crate) fn new(fleet: &'a Fleet, start: i64, port: u16) -> Self {
        let count = fleet.series.last().map_or(0, |series| series.cluster + 1);
        let mut clusters: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for series in &fleet.series {
            let labels = series.labels.iter().map(|(name, value)| wire::label(name, value)).collect();
            let labels = wire::TimeSeries { labels, ..Default::default() }.encode_to_vec();
            clusters[series.cluster].push((labels, series));
        }
        Self { clusters, start, port }
    }

    fn time(&self, step: i64, cluster: usize) -> i64 {
        let offset = INTERVAL_MS * i64::try_from(cluster).expect("clusters are few")
            / i64::try_from(self.clusters.len()).expect("clusters are few");
        self.start + step * INTERVAL_MS + offset
    }

    /// Sends everything up to now, as fast as it is taken. Returns the step that comes next.
    pub(crate) fn send_history(&self) -> i64 {
        let mut connection = self.connect();
        let mut step = 0;
        // The step that is under way is left out, so that no sample is of the future.
        while self.time(step + 1, 0) <= now_ms() {
            (0..self.clusters.len()).for_each(|cluster| self.send(&mut connection, step, cluster));
            step += 1;
        }
        step
    }

    /// Sends each sample at its time, from `step` on, until `stop`.
    pub(crate) fn send_live(&self, mut step: i64, stop: &AtomicBool) {
        let mut connection = self.connect();
        loop {
            for cluster in 0..self.clusters.len() {
                let wait = self.time(step, cluster) - now_ms();
                thread::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0)));
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                self.send(&mut connection, step, cluster);
            }
            step += 1;
        }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.port, Duration::from_secs(120)).expect("the server accepts")
    }

    fn send(&self, connection: &mut Connection, step: i64, cluster: usize) {
        let timestamp = self.time(step, cluster);
        for part in self.clusters[cluster].chunks(REQUEST_SAMPLES_MAX) {
            let mut request = Vec::new();
            for (labels, series) in part {
                push_series(&mut request, labels, timestamp, series.value(step));
            }
            let body = wire::compress(&request);
            let answer = connection
                .send("POST", "/api/v1/write", &Protocol::V1.headers(), &body)
                .expect("the server answers");
            assert!(answer.status < 300, "status {}: {}", answer.status, answer.text());
        }
    }
}
