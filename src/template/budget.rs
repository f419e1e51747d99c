//! What one expansion may cost.

/// Most bytes of text that an expansion may produce, its intermediate texts included.
const BYTES_MAX: usize = 16 << 20;
/// Most steps: a piece of a template, a command, or as much work in a function as one of these.
const STEPS_MAX: u64 = 1_000_000;

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
