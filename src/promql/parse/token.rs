//! Tokens: what the lexer makes of a query's bytes, and how messages name them.

use crate::model::GoQuoted;

use super::ast::{AggregateOp, BinaryOp, PosRange};

/// A token and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) pos: PosRange,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// End of the query.
    End,
    /// The lexer could not go on; its message is kept beside the tokens.
    Error,
    /// A name without colons that is no keyword.
    Identifier,
    /// A name with colons.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Equal,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    At,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

/// Words with a meaning of their own, operators and aggregations aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// Every word that is not a plain identifier, sorted.
const WORDS: [(&str, TokenKind); 39] = [
    ("anchored", TokenKind::Keyword(Keyword::Anchored)),
    ("and", TokenKind::Operator(BinaryOp::And)),
    ("atan2", TokenKind::Operator(BinaryOp::Atan2)),
    ("avg", TokenKind::Aggregate(AggregateOp::Avg)),
    ("bool", TokenKind::Keyword(Keyword::Bool)),
    ("bottomk", TokenKind::Aggregate(AggregateOp::Bottomk)),
    ("by", TokenKind::Keyword(Keyword::By)),
    ("count", TokenKind::Aggregate(AggregateOp::Count)),
    ("count_values", TokenKind::Aggregate(AggregateOp::CountValues)),
    ("end", TokenKind::Keyword(Keyword::End)),
    ("fill", TokenKind::Keyword(Keyword::Fill)),
    ("fill_left", TokenKind::Keyword(Keyword::FillLeft)),
    ("fill_right", TokenKind::Keyword(Keyword::FillRight)),
    ("group", TokenKind::Aggregate(AggregateOp::Group)),
    ("group_left", TokenKind::Keyword(Keyword::GroupLeft)),
    ("group_right", TokenKind::Keyword(Keyword::GroupRight)),
    ("ignoring", TokenKind::Keyword(Keyword::Ignoring)),
    ("inf", TokenKind::Number),
    ("limit_ratio", TokenKind::Aggregate(AggregateOp::LimitRatio)),
    ("limitk", TokenKind::Aggregate(AggregateOp::Limitk)),
    ("max", TokenKind::Aggregate(AggregateOp::Max)),
    ("max_of", TokenKind::Keyword(Keyword::MaxOf)),
    ("min", TokenKind::Aggregate(AggregateOp::Min)),
    ("min_of", TokenKind::Keyword(Keyword::MinOf)),
    ("nan", TokenKind::Number),
    ("offset", TokenKind::Keyword(Keyword::Offset)),
    ("on", TokenKind::Keyword(Keyword::On)),
    ("or", TokenKind::Operator(BinaryOp::Or)),
    ("quantile", TokenKind::Aggregate(AggregateOp::Quantile)),
    ("range", TokenKind::Keyword(Keyword::Range)),
    ("smoothed", TokenKind::Keyword(Keyword::Smoothed)),
    ("start", TokenKind::Keyword(Keyword::Start)),
    ("stddev", TokenKind::Aggregate(AggregateOp::Stddev)),
    ("stdvar", TokenKind::Aggregate(AggregateOp::Stdvar)),
    ("step", TokenKind::Keyword(Keyword::Step)),
    ("sum", TokenKind::Aggregate(AggregateOp::Sum)),
    ("topk", TokenKind::Aggregate(AggregateOp::Topk)),
    ("unless", TokenKind::Operator(BinaryOp::Unless)),
    ("without", TokenKind::Keyword(Keyword::Without)),
];

/// What `word` is, in any case, unless it is a plain identifier.
pub(super) fn lookup_word(word: &str) -> Option<TokenKind> {
    let lower = word.to_ascii_lowercase();
    WORDS.binary_search_by(|(known, _)| (*known).cmp(lower.as_str())).ok().map(|at| WORDS[at].1)
}

impl TokenKind {
    /// Whether the token may name a metric where an expression begins.
    pub(super) const fn names_metric(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            Self::Operator(op) => op.is_set(),
            Self::Keyword(word) => !matches!(
                word,
                Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
            ),
            _ => false,
        }
    }

    /// Whether the token may name a label in a list of labels.
    pub(super) const fn names_label(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            Self::Operator(op) => op.is_set() || matches!(op, BinaryOp::Atan2),
            Self::Keyword(word) => !matches!(word, Keyword::Without),
            _ => false,
        }
    }

    /// Whether the token, before a parenthesis, calls a function.
    pub(super) const fn names_function(self) -> bool {
        matches!(
            self,
            Self::Identifier
                | Self::Keyword(
                    Keyword::Start
                        | Keyword::End
                        | Keyword::Step
                        | Keyword::Range
                        | Keyword::MaxOf
                        | Keyword::MinOf
                )
        )
    }

    /// How a message names this token, whose text is `text`.
    pub(super) fn describe(self, text: &str) -> String {
        match self {
            Self::End => "end of input".to_owned(),
            Self::Identifier => format!("identifier {}", GoQuoted(text)),
            Self::MetricIdentifier => format!("metric identifier {}", GoQuoted(text)),
            Self::Number => format!("number {}", shortened(text)),
            Self::Duration => format!("duration {}", shortened(text)),
            Self::String => format!("string {}", shortened(text)),
            Self::Operator(_) | Self::At | Self::EqualRegex | Self::NotRegex => format!("<op:{text}>"),
            Self::Aggregate(_) => format!("<aggr:{text}>"),
            Self::Keyword(word) if !word.is_preprocessor() => format!("<{text}>"),
            _ => shortened(text),
        }
    }
}

impl Keyword {
    /// Whether upstream counts the word to those that stand for a time or duration.
    const fn is_preprocessor(self) -> bool {
        matches!(self, Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf)
    }
}

/// `text` quoted, only its first ten characters if it is longer than ten bytes.
fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return GoQuoted(text).to_string();
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |(at, _)| at);
    format!("{}...", GoQuoted(&text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_found_in_any_case() {
        assert!(WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(lookup_word("OFFSET"), Some(TokenKind::Keyword(Keyword::Offset)));
        assert_eq!(lookup_word("Inf"), Some(TokenKind::Number));
        assert_eq!(lookup_word("offsets"), None);
    }

    #[test]
    fn tokens_are_named_as_upstream_names_them() {
        assert_eq!(TokenKind::Operator(BinaryOp::Mul).describe("*"), "<op:*>");
        assert_eq!(TokenKind::Keyword(Keyword::By).describe("by"), "<by>");
        assert_eq!(TokenKind::Keyword(Keyword::Start).describe("start"), "\"start\"");
        assert_eq!(TokenKind::Aggregate(AggregateOp::Sum).describe("sum"), "<aggr:sum>");
        assert_eq!(TokenKind::Identifier.describe("foo"), "identifier \"foo\"");
        assert_eq!(TokenKind::String.describe("\"123456789012\""), "string \"\\\"123456789\"...");
    }
}
