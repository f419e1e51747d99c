//! What a parser accepts beyond the stable language.

/// Feature switches of the parser; the stable language needs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParserOptions {
    /// Experimental functions and aggregators.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

impl ParserOptions {
    /// Everything on.
    pub const ALL: Self =
        Self { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };

    /// Switches the feature of this name on, as `--enable-feature` names it; answers whether it is one of the parser.
    pub fn enable(&mut self, feature: &str) -> bool {
        match feature {
            "promql-experimental-functions" => self.experimental_functions = true,
            "promql-extended-range-selectors" => self.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => self.fill_modifiers = true,
            _ => return false,
        }
        true
    }
}
