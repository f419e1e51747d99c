//! A regular expression as an automaton that walks a dictionary.

use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use crate::model::anchored_re2;

/// Most memory that the automaton of one matcher may take, in bytes; larger ones test each value instead.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

/// A dense automaton over the bytes of a whole value.
pub(super) struct PatternAutomaton {
    automaton: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl PatternAutomaton {
    /// Of a pattern that must match whole values, with the same syntax as [`crate::model::RegexMatcher`]. `None` where
    /// it would be too large, or needs to look around.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let config = dense::Config::new()
            .start_kind(regex_automata::dfa::StartKind::Anchored)
            .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .determinize_size_limit(Some(AUTOMATON_BYTES_MAX));
        let automaton = dense::Builder::new()
            .configure(config)
            .syntax(syntax::Config::new().dot_matches_new_line(true))
            .thompson(regex_automata::nfa::thompson::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES_MAX)))
            .build(&anchored_re2(pattern).ok()?)
            .ok()?;
        let start = automaton.start_state_forward(&Input::new("").anchored(Anchored::Yes)).ok()?;
        Some(Self { automaton, start })
    }
}

impl fst::Automaton for &PatternAutomaton {
    type State = StateID;

    fn start(&self) -> StateID {
        self.start
    }

    fn is_match(&self, state: &StateID) -> bool {
        // A match shows itself one step late: at the value's end.
        self.automaton.is_match_state(self.automaton.next_eoi_state(*state))
    }

    fn can_match(&self, state: &StateID) -> bool {
        !self.automaton.is_dead_state(*state)
    }

    fn accept(&self, state: &StateID, byte: u8) -> StateID {
        self.automaton.next_state(*state, byte)
    }
}

/// The texts of a pattern that is nothing but `a|b|c`; `None` for any other.
pub(super) fn literal_set(pattern: &str) -> Option<Vec<&str>> {
    const SPECIAL: &[char] = &['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$'];
    if pattern.contains(SPECIAL) {
        return None;
    }
    let mut texts: Vec<&str> = pattern.split('|').collect();
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RegexMatcher;
    use fst::Automaton as _;
    use proptest::prelude::*;

    fn accepts(automaton: &PatternAutomaton, text: &str) -> bool {
        let automaton = &automaton;
        let state = text.bytes().fold(automaton.start(), |state, byte| automaton.accept(&state, byte));
        automaton.is_match(&state)
    }

    #[test]
    fn literals_are_recognised() {
        assert_eq!(literal_set("b|a|b"), Some(vec!["a", "b"]));
        assert_eq!(literal_set(""), Some(vec![""]));
        assert_eq!(literal_set("a.b"), None);
        assert_eq!(literal_set("(a|b)"), None);
    }

    #[test]
    fn look_around_is_left_to_the_matcher() {
        assert!(PatternAutomaton::new(r"\Bgpu.*").is_none());
        assert!(PatternAutomaton::new("((a{100}){100}){100}").is_none());
    }

    proptest! {
        #[test]
        fn automaton_and_matcher_agree(text in "[ab\n€]{0,6}", pick in 0_usize..11) {
            let patterns =
                [r"\ba\b.*", "a|ab", "a.*b", "(?i)A+", "[^a]*", "a?b?", ".", "a$|^b", "(a|€)+", ".*€.*", "(a|ab)(b|bb)"];
            let pattern = patterns[pick];
            let automaton = PatternAutomaton::new(pattern).expect("small and without look-around");
            let matcher = RegexMatcher::new(pattern).expect("sound");
            prop_assert_eq!(accepts(&automaton, &text), matcher.is_match(&text), "{} on {:?}", pattern, text);
        }
    }
}
