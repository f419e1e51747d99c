//! From the tree of a query to the tree that is evaluated: times are resolved, parentheses gone, constants folded,
//! and what does not vary by step is marked. Knows no storage.
//!
//! Leaves to `exec` what depends on the grid at hand: a selector's span is computed when it is opened.

mod build;
mod duration;
mod grid;
mod needed;
mod node;

pub(crate) use build::{QueryTimes, plan};
pub(crate) use grid::StepGrid;
pub(crate) use needed::METADATA_LABELS;
pub(crate) use node::{
    AggregateNode, BinaryNode, CallNode, Node, NodeKind, RangeNode, ReferenceTime, SelectorNode, SubqueryNode,
};
