//! What 1,000 groups of 10 rules over 100,000 series cost: perdura beside a real Prometheus.
//!
//! `PERDURA_PEERS=DIR cargo bench --bench rules -- [--clusters N] [--seconds N] [--history-seconds N] [--seed N]
//! [--only perdura|prometheus] [--engine]`
//!
//! Each server in turn gets the same samples every 15 s by remote write: first without rules, then with them. CPU is
//! what the kernel counted for its process; what rules cost is the difference of the two phases. With `--engine` no
//! server is started: all expressions are evaluated in this process, over a database of the same series.

mod check;
mod engine;
mod feed;
mod fleet;
mod groups;
mod measure;
mod options;

#[path = "../replay/request.rs"]
mod request;
#[path = "../../tests/peers/http.rs"]
mod http;
#[path = "../../tests/peers/server.rs"]
#[expect(dead_code, reason = "the trials use the rest")]
mod server;
#[path = "../../tests/peers/wire.rs"]
#[expect(dead_code, reason = "the trials use the rest")]
mod wire;

use fleet::Fleet;
use measure::{Contender, Report};
use options::Options;

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("rules: {message}");
            std::process::exit(2);
        }
    };
    let fleet = Fleet::new(options.clusters, options.seed);
    println!(
        "rules: {} series, {} groups of {} rules, samples and evaluations each {} s, history {} s, phases of {} s",
        fleet.series.len(),
        groups::all(options.clusters).len(),
        groups::RULES_PER_GROUP,
        fleet::INTERVAL_MS / 1_000,
        options.history_seconds,
        options.seconds,
    );
    if options.engine {
        return engine::run(&fleet, &options);
    }
    let Some(peers) = server::peers("rules") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let reports: Vec<Report> = [Contender::Prometheus, Contender::Perdura]
        .into_iter()
        .filter(|contender| options.only.as_deref().is_none_or(|name| name == contender.name()))
        .map(|contender| measure::run(contender, &fleet, &options, &peers, folder.path()))
        .collect();
    reports.iter().for_each(|report| println!("{report}"));
    if let [prometheus, perdura] = reports.as_slice() {
        let ratio = perdura.evaluation_cpu() / prometheus.evaluation_cpu();
        println!("CPU of an evaluation, perdura beside Prometheus: {ratio:.3}");
        println!("{}", check::compare(&prometheus.answers, &perdura.answers));
    }
}
