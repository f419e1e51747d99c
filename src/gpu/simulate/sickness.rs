//! The story of the sick GPU, told again every quarter of an hour of the simulation's time.
//!
//! | second | what happens |
//! |---|---|
//! | 0 | in order |
//! | 120 | its cooling fails: the temperature rises past 80 degrees within a minute |
//! | 170 | it is too hot: clocks are lowered, and time is counted as throttled |
//! | 300 | single-bit ECC errors, one each 4 seconds |
//! | 330 | XID 63: a row is remapped |
//! | 390 | XID 48: a double-bit ECC error |
//! | 420 | XID 94: the error is contained |
//! | 480 | XID 48: two further double-bit ECC errors |
//! | 600 | XID 79: it has fallen off the bus, and answers nothing |
//! | 780 | it is repaired: it is back, cool, and counts from zero what is counted since the driver was loaded |
//!
//! The simulation's time begins at a quarter of an hour, so at its plain speed so does each story. What is counted over
//! a GPU's life grows from story to story, for 24 of them: then the repair is a new board.

/// How long the story takes.
pub(super) const STORY: f64 = 900.0;
pub(super) const COOLING_FAILS: f64 = 120.0;
pub(super) const THROTTLED_FROM: f64 = 170.0;
const SINGLE_BIT_FROM: f64 = 300.0;
/// Seconds from one single-bit error to the next.
const SINGLE_BIT_EVERY: f64 = 4.0;
const ROW_REMAPPED: f64 = 330.0;
const FIRST_DOUBLE_BIT: f64 = 390.0;
const CONTAINED: f64 = 420.0;
const SECOND_DOUBLE_BIT: f64 = 480.0;
pub(super) const FALLS: f64 = 600.0;
pub(super) const REPAIRED: f64 = 780.0;

/// Stories of one board.
const STORIES_OF_A_BOARD: f64 = 24.0;

/// XIDs of a story, and when.
pub(super) const XIDS: [(f64, u64); 5] =
    [(ROW_REMAPPED, 63), (FIRST_DOUBLE_BIT, 48), (CONTAINED, 94), (SECOND_DOUBLE_BIT, 48), (FALLS, 79)];

/// Counts of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) single_bit: u64,
    pub(super) double_bit: u64,
    pub(super) rows_remapped: u64,
}

/// A moment of the story.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chapter {
    /// Seconds since this story began.
    since: f64,
    /// When it began.
    began: f64,
}

impl Chapter {
    pub(super) fn at(seconds: f64) -> Self {
        let since = seconds.rem_euclid(STORY);
        Self { since, began: seconds - since }
    }

    /// Whether it answers nothing.
    pub(super) fn is_off_bus(self) -> bool {
        (FALLS..REPAIRED).contains(&self.since)
    }

    /// Whether its clocks are lowered.
    pub(super) fn is_throttled(self) -> bool {
        (THROTTLED_FROM..FALLS).contains(&self.since)
    }

    /// When the driver took hold of it last.
    pub(super) fn repaired_at(self) -> f64 {
        let this_story = self.began + REPAIRED;
        if self.since >= REPAIRED { this_story } else { this_story - STORY }
    }

    /// Seconds that its clocks were lowered for, since the repair.
    pub(super) fn throttled_seconds(self) -> f64 {
        if self.since >= REPAIRED { 0.0 } else { (self.since.min(FALLS) - THROTTLED_FROM).max(0.0) }
    }

    /// Errors since the repair.
    pub(super) fn errors(self) -> Errors {
        if self.since >= REPAIRED { Errors::default() } else { Self::errors_until(self.since) }
    }

    /// Errors in the life of its board.
    pub(super) fn errors_of_board(self) -> Errors {
        let number = (self.began / STORY).round().rem_euclid(STORIES_OF_A_BOARD);
        let is_over = self.since >= REPAIRED;
        // Whole numbers below 25.
        let over = (number + f64::from(u8::from(is_over))).rem_euclid(STORIES_OF_A_BOARD) as u64;
        let (each, now) = (Self::errors_until(FALLS), self.errors());
        Errors {
            single_bit: each.single_bit * over + now.single_bit,
            double_bit: each.double_bit * over + now.double_bit,
            rows_remapped: each.rows_remapped * over + now.rows_remapped,
        }
    }

    fn errors_until(since: f64) -> Errors {
        let single_bit = (since.min(FALLS) - SINGLE_BIT_FROM).max(0.0) / SINGLE_BIT_EVERY;
        let has = |moment: f64| u64::from(since >= moment);
        Errors {
            single_bit: single_bit as u64,
            double_bit: has(FIRST_DOUBLE_BIT) + 2 * has(SECOND_DOUBLE_BIT),
            rows_remapped: has(ROW_REMAPPED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_has_its_order() {
        let at = |since: f64| Chapter::at(7.0 * STORY + since);
        assert_eq!((at(100.0).errors(), at(100.0).is_throttled()), (Errors::default(), false));
        assert_eq!(at(100.0).repaired_at(), 6.0 * STORY + REPAIRED);
        assert!(at(200.0).is_throttled() && at(200.0).throttled_seconds() == 30.0);
        assert_eq!(at(400.0).errors(), Errors { single_bit: 25, double_bit: 1, rows_remapped: 1 });
        assert!(at(600.0).is_off_bus() && at(779.0).is_off_bus() && !at(780.0).is_off_bus());
        assert_eq!((at(800.0).errors(), at(800.0).throttled_seconds()), (Errors::default(), 0.0));
        assert_eq!(at(800.0).repaired_at(), 7.0 * STORY + REPAIRED);
        assert!(XIDS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_board_remembers_until_it_is_replaced() {
        let board = |story: f64, since: f64| Chapter::at(story * STORY + since).errors_of_board();
        assert_eq!(board(0.0, 0.0), Errors::default());
        assert_eq!(board(0.0, 599.9).double_bit, 3);
        assert_eq!(board(0.0, 800.0), board(1.0, 0.0));
        assert_eq!((board(2.0, 0.0).double_bit, board(23.0, 500.0).double_bit), (6, 72));
        assert_eq!(board(23.0, 800.0), Errors::default());
        assert_eq!(board(-1.0, 800.0), Errors::default(), "time before the beginning is no different");
    }
}
