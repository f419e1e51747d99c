//! perdura beside real peers: Prometheus, Alertmanager, node_exporter and VictoriaMetrics as they are shipped.
//!
//! The environment variable `PERDURA_PEERS` names the folder with their binaries; a trial that needs one says that it
//! is skipped and passes where the variable is not set. `PERDURA_STAND_IN` puts another binary, such as a real
//! Prometheus, in perdura's place, which shows that a trial asks for nothing that a real one does not do; bad input alone
//! asks for more: messages that say where, and histograms and labels that are checked.

mod agent;
mod alertmanager;
mod api;
mod bad_bodies;
mod bad_expositions;
mod bad_input;
mod bad_queries;
#[path = "../behaviour/bad_rule_table.rs"]
mod bad_rule_table;
mod check_rules;
mod compare;
mod differential;
mod exporter;
mod forward;
mod http;
mod import_rules;
mod kill;
mod node_exporter;
mod queries;
mod remote_write;
mod rules_trial;
mod server;
mod shape;
mod templates;
#[path = "../behaviour/unit_test_files.rs"]
mod unit_test_files;
mod unit_tests;
mod wire;
