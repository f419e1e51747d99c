//! What the crate promises, by behaviour: one binary, a module for each.

mod module_order;
