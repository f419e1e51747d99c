//! What one expansion may cost.

use super::value::Value;

/// Longest text that an expansion may render, in bytes.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Most bytes of text that an expansion may produce, its intermediate texts included.
const BYTES_MAX: usize = 16 << 20;
/// Most steps: a piece of a template, a command, or as much work in a function as one of these.
const STEPS_MAX: u64 = 1_000_000;

/// Bytes of an argument, or items, that a function looks at in one step.
const SIZE_PER_STEP: usize = 64;

/// What is left of it.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    steps: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: BYTES_MAX, steps: STEPS_MAX }
    }
}

impl Budget {
    /// Takes `count` steps.
    pub(super) fn step(&mut self, count: u64) -> Result<(), String> {
        match self.steps.checked_sub(count) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(format!("more than {STEPS_MAX} steps")),
        }
    }

    /// Takes the steps that looking at `size` bytes or items counts for.
    pub(super) fn look(&mut self, size: usize) -> Result<(), String> {
        self.step(u64::try_from(size / SIZE_PER_STEP).unwrap_or(u64::MAX))
    }

    /// Takes the steps that looking at all of `value` counts for.
    pub(super) fn look_at(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Text(text) | Value::Html(text) => self.look(text.len()),
            Value::List(_, items) => self.look(items.len()),
            Value::Labels(labels) => self.look(labels.as_bytes().len()),
            _ => Ok(()),
        }
    }

    /// Takes `bytes` bytes of text.
    pub(super) fn produce(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(too_long)?;
        Ok(())
    }

    /// Bytes that may still be produced.
    pub(super) fn bytes_left(&self) -> usize {
        self.bytes
    }
}

/// What a function answers that would produce more.
pub(super) fn too_long() -> String {
    format!("more than {BYTES_MAX} bytes of text")
}

/// What an expansion answers that would render more.
pub(super) fn check_output(bytes: usize) -> Result<(), String> {
    if bytes > OUTPUT_BYTES_MAX {
        return Err(format!("output of more than {OUTPUT_BYTES_MAX} bytes"));
    }
    Ok(())
}
