//! perdura as a library: open a database, write a scrape's worth of samples, ask a question in PromQL.
//!
//! `cargo run --example embedded`

use std::error::Error;

use perdura::db::{Database, DatabaseOptions};
use perdura::model::{LabelsBuilder, TenantId, Timestamp};
use perdura::promql::{Engine, EngineOptions, QueryOptions, QueryValue, SampleValue};
use perdura::storage::{Acceptance, Append, Batch};

const START: Timestamp = 1_700_000_000_000;
const INTERVAL_MS: i64 = 15_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = Database::open(DatabaseOptions::new(folder.path()))?;
    let tenant = TenantId::default();

    // Ten minutes of two GPUs. `append` answers when the batch is on the disk and visible.
    for step in 0..40 {
        let mut batch = Batch::default();
        for gpu in 0..2 {
            let mut labels = LabelsBuilder::default();
            labels.push("__name__", "gpu_energy_joules_total");
            labels.push("gpu", &gpu.to_string());
            batch.begin_series(&labels.build()?);
            let watts = 300 + 100 * gpu;
            batch.push_float(START + step * INTERVAL_MS, START, (step * watts * INTERVAL_MS / 1_000) as f64);
        }
        database.append(&tenant, batch, &Acceptance::EVERYTHING)?;
    }

    let engine = Engine::new(EngineOptions::default());
    let at = START + 39 * INTERVAL_MS;
    let query = "sort_desc(rate(gpu_energy_joules_total[5m]))";
    let output = engine.instant(&*database, &tenant, query, at, &QueryOptions::default())?;
    let QueryValue::Vector(samples) = output.value else {
        return Err("an instant vector was asked for".into());
    };
    let mut watts = Vec::new();
    for sample in &samples {
        let SampleValue::Float(value) = &sample.value else { return Err("the samples are floats".into()) };
        println!("{} draws {value:.3} W", sample.labels);
        watts.push(value.round());
    }
    assert_eq!(watts, [400.0, 300.0]);
    database.close()?;
    Ok(())
}
