//! From a firing alert to the Alertmanagers that are told of it.

mod alert;

pub use alert::Alert;
