//! Values to text: Go's `Sprint`, `Sprintln` and `Sprintf` over template values.

mod format;
mod number;

pub(super) use format::sprintf;

use super::value::{IntKind, ListKind, Value};
use crate::model::{GoQuoted, is_printable};
use number::{float_text, hash_float};

/// Stands for the address of a value: these differ from run to run where upstream prints them.
const ADDRESS: &str = "c000000000";

/// More text was asked for than an expansion may produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The values one after the other, with a space between two that are no text.
pub(super) fn sprint(values: &[Value], bytes_max: usize) -> Result<Vec<u8>, TooLong> {
    let mut printer = Printer::new(bytes_max);
    let mut after_text = false;
    for (index, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_) | Value::Html(_));
        if index > 0 && !is_text && !after_text {
            printer.out.push(b' ');
        }
        printer.value(value, 'v')?;
        after_text = is_text;
    }
    printer.finish()
}

/// The same as templates show values: what is not there says so, and of what points at a struct there is the struct.
pub(super) fn sprint_shown(values: &[Value], bytes_max: usize) -> Result<Vec<u8>, TooLong> {
    let mut printer = Printer::new(bytes_max);
    let mut after_text = false;
    for (index, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_) | Value::Html(_) | Value::Nothing);
        if index > 0 && !is_text && !after_text {
            printer.out.push(b' ');
        }
        match value {
            Value::Nothing => printer.write("<no value>"),
            Value::Sample(_) => printer.fields(value, 'v', 0)?,
            value => printer.value(value, 'v')?,
        }
        after_text = is_text;
    }
    printer.finish()
}

/// A pointer to a struct as that struct, which does not print itself.
pub(super) fn sprint_struct(value: &Value, bytes_max: usize) -> Result<Vec<u8>, TooLong> {
    let mut printer = Printer::new(bytes_max);
    printer.fields(value, 'v', 0)?;
    printer.finish()
}

/// The values with spaces between and a newline behind them.
pub(super) fn sprintln(values: &[Value], bytes_max: usize) -> Result<Vec<u8>, TooLong> {
    let mut printer = Printer::new(bytes_max);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.out.push(b' ');
        }
        printer.value(value, 'v')?;
    }
    printer.out.push(b'\n');
    printer.finish()
}

/// What a directive asks for besides its verb.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`: with field names.
    plus_v: bool,
    /// `%#v`: as Go source.
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer {
    out: Vec<u8>,
    bytes_max: usize,
    flags: Flags,
    /// Whether a wrong verb is being reported, in which values do not print themselves.
    reporting: bool,
}

impl Printer {
    fn new(bytes_max: usize) -> Self {
        Self { out: Vec::new(), bytes_max, flags: Flags::default(), reporting: false }
    }

    fn finish(self) -> Result<Vec<u8>, TooLong> {
        if self.out.len() > self.bytes_max { Err(TooLong) } else { Ok(self.out) }
    }

    fn check(&self) -> Result<(), TooLong> {
        if self.out.len() > self.bytes_max { Err(TooLong) } else { Ok(()) }
    }

    fn write(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// An argument by `verb`.
    fn value(&mut self, value: &Value, verb: char) -> Result<(), TooLong> {
        match (value, verb) {
            (Value::Nothing, 'T' | 'v') => self.pad(b"<nil>"),
            (Value::Nothing, _) => self.bad_verb(value, verb)?,
            (_, 'T') => self.text(value.type_name().as_bytes(), 's', value)?,
            (_, 'p') => self.pointer(value, verb)?,
            _ => self.nested(value, verb, 0)?,
        }
        self.check()
    }

    fn nested(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), TooLong> {
        self.check()?;
        if verb == 'w' && !self.reporting && !is_simple(value) {
            return self.bad_verb(value, verb);
        }
        if let Some(text) = self.own_text(value, verb) {
            let verb = if self.flags.sharp_v { 's' } else { verb };
            return self.text(text.as_bytes(), verb, value);
        }
        match value {
            Value::Nothing if self.flags.sharp_v => self.write("interface {}(nil)"),
            Value::Nothing => self.write("<nil>"),
            Value::Bool(it) if matches!(verb, 't' | 'v') => self.pad(it.to_string().as_bytes()),
            Value::Bool(_) => self.bad_verb(value, verb)?,
            Value::Int(kind, it) => self.int(*it, kind.is_unsigned(), verb, value)?,
            Value::Float(it) => self.float(*it, verb, value)?,
            Value::Complex(real, imaginary) => self.complex(*real, *imaginary, verb, value)?,
            Value::Text(text) | Value::Html(text) => self.text(text, verb, value)?,
            Value::Labels(labels) => {
                let entries = labels.iter().map(|label| (label.name, Value::text(label.value)));
                self.map(value, entries, verb, depth)?;
            }
            Value::Args(args) => {
                let entries = args.entries.iter().map(|(name, value)| (name.as_str(), value.clone()));
                self.map(value, entries, verb, depth)?;
            }
            Value::List(_, items) => self.list(value, items, verb, depth)?,
            Value::Sample(_) | Value::Histogram(_) if depth == 0 => {
                self.write("&");
                self.fields(value, verb, depth)?;
            }
            Value::Sample(_) | Value::Histogram(_) | Value::TimePointer(_) | Value::DurationPointer(_) => {
                self.pointer(value, verb)?;
            }
            Value::Span(..) | Value::Data(_) => self.fields(value, verb, depth)?,
            Value::Time(time) => self.pad(time.to_string().as_bytes()),
        }
        Ok(())
    }

    /// What a value with a `String` method prints itself as.
    fn own_text(&self, value: &Value, verb: char) -> Option<String> {
        if self.flags.sharp_v && !self.reporting {
            return super::methods::own_source(value);
        }
        if self.reporting || !matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') {
            return None;
        }
        super::methods::own_text(value)
    }

    fn map<'v>(
        &mut self,
        value: &Value,
        entries: impl Iterator<Item = (&'v str, Value)>,
        verb: char,
        depth: usize,
    ) -> Result<(), TooLong> {
        self.open(value, "map[", "{");
        for (index, (name, item)) in entries.enumerate() {
            self.separate(index);
            self.nested(&Value::text(name), verb, depth + 1)?;
            self.write(":");
            self.nested(&item, verb, depth + 1)?;
        }
        self.write(if self.flags.sharp_v { "}" } else { "]" });
        Ok(())
    }

    fn list(&mut self, value: &Value, items: &[Value], verb: char, depth: usize) -> Result<(), TooLong> {
        // Lists within histograms are nil where nothing is in them.
        if self.flags.sharp_v && items.is_empty() && !matches!(value, Value::List(ListKind::Samples, _)) {
            self.write(value.type_name());
            self.write("(nil)");
            return Ok(());
        }
        self.open(value, "[", "{");
        for (index, item) in items.iter().enumerate() {
            self.separate(index);
            self.nested(item, verb, depth + 1)?;
        }
        self.write(if self.flags.sharp_v { "}" } else { "]" });
        Ok(())
    }

    fn fields(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), TooLong> {
        if self.flags.sharp_v {
            self.write(value.type_name_behind());
        }
        self.write("{");
        for (index, (name, item)) in value.fields().unwrap_or_default().into_iter().enumerate() {
            self.separate(index);
            if self.flags.plus_v || self.flags.sharp_v {
                self.write(name);
                self.write(":");
            }
            self.nested(&item, verb, depth + 1)?;
        }
        self.write("}");
        Ok(())
    }

    fn open(&mut self, value: &Value, plain: &str, source: &str) {
        if self.flags.sharp_v {
            self.write(value.type_name());
            self.write(source);
        } else {
            self.write(plain);
        }
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.write(if self.flags.sharp_v { ", " } else { " " });
        }
    }

    fn pointer(&mut self, value: &Value, verb: char) -> Result<(), TooLong> {
        let points = matches!(
            value,
            Value::Sample(_)
                | Value::Histogram(_)
                | Value::TimePointer(_)
                | Value::DurationPointer(_)
                | Value::Labels(_)
                | Value::Args(_)
                | Value::List(..)
        );
        match verb {
            _ if !points => return self.bad_verb(value, verb),
            'v' if self.flags.sharp_v => self.write(&format!("({})(0x{ADDRESS})", value.type_name())),
            'v' | 'p' | 'x' | 'X' | 'd' | 'b' | 'o' => self.pad(format!("0x{ADDRESS}").as_bytes()),
            _ => return self.bad_verb(value, verb),
        }
        Ok(())
    }

    /// `%!d(string=abc)`
    fn bad_verb(&mut self, value: &Value, verb: char) -> Result<(), TooLong> {
        self.write(&format!("%!{verb}("));
        if matches!(value, Value::Nothing) {
            self.write("<nil>");
        } else {
            self.write(value.type_name());
            self.write("=");
            self.reporting = true;
            let result = self.nested(value, 'v', 0);
            self.reporting = false;
            result?;
        }
        self.write(")");
        Ok(())
    }

    fn int(&mut self, int: i64, unsigned: bool, verb: char, value: &Value) -> Result<(), TooLong> {
        match verb {
            'v' if self.flags.sharp_v && unsigned => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.digits(int, 16, verb);
                self.flags.sharp = sharp;
            }
            'v' | 'd' => self.digits(int, 10, verb),
            'b' => self.digits(int, 2, verb),
            'o' | 'O' => self.digits(int, 8, verb),
            'x' | 'X' => self.digits(int, 16, verb),
            'c' => {
                let c = character(int);
                self.pad(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            'q' => {
                let text = number::quoted_char(character(int), self.flags.plus);
                self.pad(text.as_bytes());
            }
            'U' => self.code_point(int),
            _ => return self.bad_verb(value, verb),
        }
        Ok(())
    }

    fn digits(&mut self, int: i64, base: u32, verb: char) {
        let flags = self.flags;
        if flags.precision == Some(0) && int == 0 {
            self.fill(b' ', flags.width.unwrap_or(0));
            return;
        }
        let signed = int < 0 || flags.plus || flags.space;
        let digits_min = match (flags.precision, flags.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => width.saturating_sub(usize::from(signed)),
            _ => 0,
        };
        let mut text = number::magnitude(int.unsigned_abs(), base, verb == 'X');
        text.insert_str(0, &"0".repeat(digits_min.saturating_sub(text.len())));
        let zero = if flags.sharp && base == 8 && !text.starts_with('0') { "0" } else { "" };
        let prefix = match (base, verb) {
            (_, 'O') => "0o",
            (2, _) if flags.sharp => "0b",
            (16, 'X') if flags.sharp => "0X",
            (16, _) if flags.sharp => "0x",
            _ => "",
        };
        let sign = match int {
            int if int < 0 => "-",
            _ if flags.plus => "+",
            _ if flags.space => " ",
            _ => "",
        };
        self.pad_spaces(format!("{sign}{prefix}{zero}{text}").as_bytes());
    }

    fn code_point(&mut self, int: i64) {
        let digits = self.flags.precision.unwrap_or(4).max(4);
        let mut text = format!("U+{int:0digits$X}");
        let c = u32::try_from(int).ok().and_then(char::from_u32);
        if let Some(c) = c.filter(|c| self.flags.sharp && (is_printable(*c) || c.is_ascii_graphic())) {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_spaces(text.as_bytes());
    }

    fn complex(&mut self, real: f64, imaginary: f64, verb: char, value: &Value) -> Result<(), TooLong> {
        if !"vbgGxXfFeE".contains(verb) {
            return self.bad_verb(value, verb);
        }
        let plus = self.flags.plus;
        self.write("(");
        self.float(real, verb, value)?;
        self.flags.plus = true;
        self.float(imaginary, verb, value)?;
        self.flags.plus = plus;
        self.write("i)");
        Ok(())
    }

    fn float(&mut self, float: f64, verb: char, value: &Value) -> Result<(), TooLong> {
        let (format, default) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        let flags = self.flags;
        let precision = flags.precision.or(default);
        let mut text = float_text(float.abs(), format, precision);
        let negative = float.is_sign_negative() && !float.is_nan();
        let sign = match negative {
            true => "-",
            false if flags.plus => "+",
            false if flags.space => " ",
            // Infinity keeps its sign, which is only dropped for numbers.
            false => "",
        };
        if !float.is_finite() {
            let sign = if float.is_infinite() && sign.is_empty() { "+" } else { sign };
            self.pad_spaces(format!("{sign}{text}").as_bytes());
            return Ok(());
        }
        if flags.sharp && format != 'b' {
            text = hash_float(&text, verb, precision);
        }
        let len = sign.len() + text.len();
        match flags.width {
            Some(width) if flags.zero && !flags.minus && !sign.is_empty() && width > len => {
                self.write(sign);
                self.fill(b'0', width - len);
                self.write(&text);
            }
            _ => self.pad(format!("{sign}{text}").as_bytes()),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8], verb: char, value: &Value) -> Result<(), TooLong> {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => {
                let cut = self.cut(text);
                self.pad(cut);
            }
            'q' => self.quoted(text),
            'x' | 'X' => self.hex(text, verb == 'X'),
            _ => return self.bad_verb(value, verb),
        }
        Ok(())
    }

    /// As many characters as the precision allows.
    fn cut<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let Some(precision) = self.flags.precision else { return text };
        let mut len = 0;
        for _ in 0..precision {
            match next_char_len(&text[len..]) {
                0 => break,
                bytes => len += bytes,
            }
        }
        &text[..len]
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.cut(text);
        let backquoted =
            std::str::from_utf8(text).ok().filter(|text| self.flags.sharp && can_backquote(text));
        let quoted = match backquoted {
            Some(text) => format!("`{text}`"),
            None if self.flags.plus => number::ascii_quoted(text),
            None => GoQuoted(text).to_string(),
        };
        self.pad(quoted.as_bytes());
    }

    fn hex(&mut self, text: &[u8], upper: bool) {
        let flags = self.flags;
        let text = &text[..flags.precision.unwrap_or(text.len()).min(text.len())];
        let prefix = if upper { "0X" } else { "0x" };
        let mut hex = String::new();
        for (index, byte) in text.iter().enumerate() {
            if index > 0 && flags.space {
                hex.push(' ');
            }
            if flags.sharp && (index == 0 || flags.space) {
                hex.push_str(prefix);
            }
            hex.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(hex.as_bytes());
    }

    /// `text` filled up to the width, with zeros if asked for.
    fn pad(&mut self, text: &[u8]) {
        let missing = self.flags.width.unwrap_or(0).saturating_sub(char_count(text));
        let filler = if self.flags.zero { b'0' } else { b' ' };
        if self.flags.minus {
            self.out.extend_from_slice(text);
            self.fill(b' ', missing);
        } else {
            self.fill(filler, missing);
            self.out.extend_from_slice(text);
        }
    }

    fn pad_spaces(&mut self, text: &[u8]) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(text);
        self.flags.zero = zero;
    }

    fn fill(&mut self, byte: u8, count: usize) {
        self.out.resize(self.out.len() + count, byte);
    }
}

/// Whether a value is of one of Go's own types, of which none has methods.
fn is_simple(value: &Value) -> bool {
    match value {
        Value::Nothing | Value::Bool(_) | Value::Float(_) | Value::Complex(..) | Value::Text(_) => true,
        Value::Int(kind, _) => {
            !matches!(kind, IntKind::Month | IntKind::Weekday | IntKind::Duration | IntKind::CounterResetHint)
        }
        _ => false,
    }
}

fn character(code: i64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Bytes of the first character, or of the first byte that belongs to none; 0 at the end.
fn next_char_len(text: &[u8]) -> usize {
    let head = &text[..text.len().min(4)];
    match head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) {
        Some(c) => c.len_utf8(),
        None => head.len().min(1),
    }
}

/// Characters, counting each byte that belongs to none as one.
fn char_count(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| c != '`' && c != '\u{7f}' && c != '\u{feff}' && (c == '\t' || c >= ' '))
}
