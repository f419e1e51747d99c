//! Replays remote write 1.0 into perdura and into real VictoriaMetrics in turn, and prints what it cost each.
//!
//! `PERDURA_PEERS=DIR cargo bench --bench replay -- [--nodes N] [--gpus N] [--steps N] [--connections N]
//! [--series-per-request N] [--seed N] [--only perdura|victoria-metrics]`
//!
//! The bodies are encoded before the clock starts. CPU is what the kernel counted for the server's process, until what
//! was written has settled: flushed, compacted, idle.

mod gpu;
mod measure;
mod node;
mod request;
mod workload;

#[path = "../../tests/peers/http.rs"]
mod http;
#[path = "../../tests/peers/server.rs"]
#[expect(dead_code, reason = "the trials use the rest")]
mod server;
#[path = "../../tests/peers/wire.rs"]
#[expect(dead_code, reason = "the trials use the rest")]
mod wire;

use std::path::Path;

use measure::{Contender, Result};
use workload::{Options, Workload};

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("replay: {message}");
            std::process::exit(2);
        }
    };
    let Some(peers) = server::peers("replay") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let workload = Workload::build(&options, &peers, folder.path());
    println!("{workload}");
    let contenders = [Contender::Perdura, Contender::VictoriaMetrics];
    let results: Vec<Result> = contenders
        .into_iter()
        .filter(|contender| options.only.as_deref().is_none_or(|name| name == contender.name()))
        .map(|contender| run(contender, &workload, &peers, folder.path()))
        .collect();
    println!("{}", Result::HEADER);
    results.iter().for_each(|result| println!("{result}"));
}

fn run(contender: Contender, workload: &Workload, peers: &Path, folder: &Path) -> Result {
    eprintln!("replay: {} ...", contender.name());
    measure::measure(contender, workload, peers, &folder.join(contender.name()))
}
