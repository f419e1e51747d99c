//! Remote write messages as prost reads them, as much as the comparison needs. Texts are bytes: which of them must be
//! UTF-8 is not prost's to say.

use prost::Message;

/// Time in milliseconds, and the bits of the value.
pub(crate) type SampleOfEither = (i64, u64);

/// `prometheus.WriteRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<SeriesV1>,
}

/// A series of protocol 1.0.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SeriesV1 {
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

/// `io.prometheus.write.v2.Request`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RequestV2 {
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<SeriesV2>,
}

/// A series of protocol 2.0.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SeriesV2 {
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

/// A float sample of either.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

impl WriteRequest {
    /// All samples, in order.
    pub(crate) fn samples(&self) -> Vec<SampleOfEither> {
        self.timeseries.iter().flat_map(|series| &series.samples).map(Sample::pair).collect()
    }
}

impl RequestV2 {
    /// All samples, in order.
    pub(crate) fn samples(&self) -> Vec<SampleOfEither> {
        self.timeseries.iter().flat_map(|series| &series.samples).map(Sample::pair).collect()
    }
}

impl Sample {
    fn pair(&self) -> SampleOfEither {
        (self.timestamp, self.value.to_bits())
    }
}
