//! What the crate promises, by behaviour: one binary, a module for each.

mod admin;
mod agent;
mod bad_rule_table;
mod check_rules;
mod comes_back;
mod command_line;
mod http_api;
mod http_errors;
mod http_life;
mod import_rules;
mod module_order;
mod node_examples;
mod node_trial;
mod rules;
mod segment_format;
mod series_limits;
mod server;
mod unit_test_files;
mod unit_tests;
