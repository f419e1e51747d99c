//! `Sprintf`: reads a format and prints an argument for each directive.

use super::{Flags, Printer, TooLong};
use crate::template::value::Value;

/// Largest width and precision.
const SIZE_MAX: i64 = 1_000_000;

/// `values` as `format` asks for. What does not fit is reported in the text, as Go does: `%!d(string=a)`.
pub(crate) fn sprintf(format: &[u8], values: &[Value], bytes_max: usize) -> Result<Vec<u8>, TooLong> {
    let mut reader = Reader {
        format,
        at: 0,
        values,
        next: 0,
        reordered: false,
        sound: true,
        printer: Printer::new(bytes_max),
    };
    reader.run()?;
    reader.extra()?;
    reader.printer.finish()
}

struct Reader<'a> {
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    /// Argument of the next directive.
    next: usize,
    /// Whether arguments were named by number.
    reordered: bool,
    /// Whether the numbers of this directive name arguments.
    sound: bool,
    printer: Printer,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn run(&mut self) -> Result<(), TooLong> {
        while self.at < self.format.len() {
            let rest = &self.format[self.at..];
            let len = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
            self.printer.out.extend_from_slice(&rest[..len]);
            self.at += len;
            if self.peek().is_none() {
                break;
            }
            self.at += 1;
            self.directive()?;
            self.printer.check()?;
        }
        Ok(())
    }

    fn directive(&mut self) -> Result<(), TooLong> {
        self.printer.flags = Flags::default();
        self.sound = true;
        self.flags();
        let mut after_index = self.argument_number();
        after_index = self.width(after_index);
        after_index = self.precision(after_index);
        if !after_index {
            self.argument_number();
        }
        self.verb()
    }

    fn flags(&mut self) {
        let flags = &mut self.printer.flags;
        while let Some(byte) = self.format.get(self.at) {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
    }

    /// `[n]`: whether there is one.
    fn argument_number(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(close) = rest.iter().position(|byte| *byte == b']') else {
            self.sound = false;
            self.at += 1;
            return false;
        };
        let number: Option<usize> = std::str::from_utf8(&rest[1..close])
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .filter(|number| *number <= SIZE_MAX as usize);
        self.at += close + 1;
        match number.and_then(|number| number.checked_sub(1)).filter(|index| *index < self.values.len()) {
            Some(index) => self.next = index,
            None => self.sound = false,
        }
        number.is_some()
    }

    fn width(&mut self, after_index: bool) -> bool {
        if self.peek() != Some(b'*') {
            self.printer.flags.width = self.number();
            if after_index && self.printer.flags.width.is_some() {
                self.sound = false;
            }
            return after_index;
        }
        self.at += 1;
        let width = self.size_argument();
        match width {
            Some(width) => {
                let flags = &mut self.printer.flags;
                flags.minus |= width < 0;
                flags.width = usize::try_from(width.unsigned_abs()).ok();
            }
            None => self.printer.write("%!(BADWIDTH)"),
        }
        false
    }

    fn precision(&mut self, after_index: bool) -> bool {
        if self.peek() != Some(b'.') || self.at + 1 > self.format.len() {
            return after_index;
        }
        self.at += 1;
        if after_index {
            self.sound = false;
        }
        let after_index = self.argument_number();
        if self.peek() != Some(b'*') {
            self.printer.flags.precision = Some(self.number().unwrap_or(0));
            return after_index;
        }
        self.at += 1;
        let precision = self.size_argument().and_then(|size| usize::try_from(size).ok());
        if precision.is_none() {
            self.printer.write("%!(BADPREC)");
        }
        self.printer.flags.precision = precision;
        false
    }

    /// A decimal number in the format. One that is too large ends the format, as Go's reader does.
    fn number(&mut self) -> Option<usize> {
        let mut number: Option<i64> = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if number.is_some_and(|number| number > SIZE_MAX) {
                self.at = self.format.len();
                return None;
            }
            number = Some(number.unwrap_or(0) * 10 + i64::from(digit - b'0'));
            self.at += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    /// A size among the arguments.
    fn size_argument(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(_, size) => Some(*size).filter(|size| (-SIZE_MAX..=SIZE_MAX).contains(size)),
            _ => None,
        }
    }

    fn verb(&mut self) -> Result<(), TooLong> {
        let rest = &self.format[self.at..];
        if rest.is_empty() {
            self.printer.write("%!(NOVERB)");
            return Ok(());
        }
        let verb = first_char(rest);
        self.at += super::next_char_len(rest);
        if verb == '%' {
            self.printer.write("%");
            return Ok(());
        }
        if !self.sound {
            self.printer.write(&format!("%!{verb}(BADINDEX)"));
            return Ok(());
        }
        let Some(value) = self.values.get(self.next) else {
            self.printer.write(&format!("%!{verb}(MISSING)"));
            return Ok(());
        };
        let flags = &mut self.printer.flags;
        if matches!(verb, 'v' | 'w') {
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        self.next += 1;
        self.printer.value(value, verb)
    }

    /// Arguments that no directive asked for.
    fn extra(&mut self) -> Result<(), TooLong> {
        if self.reordered || self.next >= self.values.len() {
            return Ok(());
        }
        self.printer.flags = Flags::default();
        self.printer.write("%!(EXTRA ");
        for (index, value) in self.values[self.next..].iter().enumerate() {
            if index > 0 {
                self.printer.write(", ");
            }
            if *value != Value::Nothing {
                self.printer.write(value.type_name());
                self.printer.write("=");
            }
            self.printer.value(value, 'v')?;
        }
        self.printer.write(")");
        Ok(())
    }
}

fn first_char(text: &[u8]) -> char {
    let head = &text[..text.len().min(4)];
    head.utf8_chunks()
        .next()
        .and_then(|chunk| chunk.valid().chars().next())
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}
